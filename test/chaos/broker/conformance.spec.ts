import { afterAll, beforeAll, describe, it } from 'vitest';
import { brokerConformance } from '../../../libs/mesh/src/testing/broker.conformance.js';
import type { ChaosServer } from './chaos-server.js';
import { brokersOn } from './conformance.fixture.js';
import { nats } from './nats-server.js';
import { rabbitMq } from './rabbitmq-server.js';

const CASE_MS = 180_000;
const KILLS = 3;

for (const kind of [nats, rabbitMq])
  describe.skipIf(kind.whyNot)(`${kind.name}, as a broker${kind.whyNot}`, () => {
    let server: ChaosServer;

    beforeAll(async () => {
      server = await kind.start();
    }, CASE_MS);
    afterAll(() => server?.stop());

    const cases = brokerConformance(() => brokersOn(server, kind, KILLS), ['instances', 'durable', 'restart', 'crash']);
    for (const { name, run } of cases) it(name, run, CASE_MS);
  });
