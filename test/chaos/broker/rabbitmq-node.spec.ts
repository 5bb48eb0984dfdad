import { afterAll, beforeAll, describe, it } from 'vitest';
import { brokerConformance } from '../../../libs/mesh/src/testing/broker.conformance.js';
import type { ChaosServer } from './chaos-server.js';
import { brokersOn, isFull } from './conformance.fixture.js';
import { rabbitMqNode } from './rabbitmq-node.js';

/** A start takes seconds, on a busy machine a minute. */
const CASE_MS = 600_000;
const KILLS = isFull ? 3 : 1;

/**
 * What the wire in front of the machine's RabbitMQ cannot show: a server that is really gone, and comes back over what it
 * has stored. The short form leaves out the other rules that kill it, and kills once
 * under load.
 */
describe.skipIf(rabbitMqNode.whyNot)(`${rabbitMqNode.name}${rabbitMqNode.whyNot}, killed with SIGKILL`, () => {
  let server: ChaosServer;

  beforeAll(async () => {
    server = await rabbitMqNode.start();
  }, CASE_MS);
  afterAll(() => server?.stop(), CASE_MS);

  const create = () => brokersOn(server, rabbitMqNode, KILLS);
  for (const { name, run } of brokerConformance(
    create,
    isFull ? ['instances', 'durable', 'restart', 'crash'] : ['crash'],
  ))
    it(name, run, CASE_MS);
});
