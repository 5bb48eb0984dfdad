import { afterAll, beforeAll, describe, it } from 'vitest';
import { brokerConformance } from '../../../libs/mesh/src/testing/broker.conformance.js';
import type { BrokerUnderTest } from '../../../libs/mesh/src/testing/broker-under-test.js';
import { natsIsHere, NatsServer } from './nats-server.js';
import { remoteBroker } from './remote-broker.fixture.js';

const CASE_MS = 30_000;

let server: NatsServer;
let cases = 0;

async function create(): Promise<BrokerUnderTest> {
  // A prefix of its own: streams and consumers of one case never meet another's.
  const options = { transport: 'nats', servers: server.url, subjectPrefix: `case-${++cases}` } as const;
  const instances = [await remoteBroker(options)];
  return {
    broker: instances[0]!.broker,
    maxPayloadBytes: 1_000_000,
    server,
    another: async () => {
      const instance = await remoteBroker(options);
      instances.push(instance);
      return instance.broker;
    },
    close: async () => {
      await Promise.all(instances.map(({ broker }) => broker.stop()));
      await server.start();
    },
  };
}

describe.skipIf(!natsIsHere)(`NATS${natsIsHere ? '' : ' (skipped: nats-server is not installed)'}`, () => {
  beforeAll(async () => {
    server = await NatsServer.start();
  });
  afterAll(() => server?.stop());

  for (const { name, run } of brokerConformance(create, ['instances', 'durable', 'restart'])) it(name, run, CASE_MS);
});
