import { afterAll, beforeAll, describe, it } from 'vitest';
import { brokerConformance } from '../../../libs/mesh/src/testing/broker.conformance.js';
import type { BrokerUnderTest } from '../../../libs/mesh/src/testing/broker-under-test.js';
import { rabbitMqIsHere, RabbitMqServer, whyNot } from './rabbitmq-server.js';
import { remoteBroker } from './remote-broker.fixture.js';

const CASE_MS = 30_000;

let server: RabbitMqServer;

async function create(): Promise<BrokerUnderTest> {
  const options = { transport: 'rabbitmq', servers: server.url, namePrefix: server.nextPrefix() } as const;
  const instances = [await remoteBroker(options)];
  return {
    broker: instances[0]!.broker,
    server,
    another: async () => {
      const instance = await remoteBroker(options);
      instances.push(instance);
      return instance.broker;
    },
    close: async () => {
      await server.start();
      await Promise.all(instances.map(({ broker }) => broker.stop()));
    },
  };
}

describe.skipIf(!rabbitMqIsHere)(`RabbitMQ${whyNot}`, () => {
  beforeAll(async () => {
    server = await RabbitMqServer.start();
  });
  afterAll(() => server?.stop());

  for (const { name, run } of brokerConformance(create, ['instances', 'durable', 'restart'])) it(name, run, CASE_MS);
});
