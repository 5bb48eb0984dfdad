import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Message } from '../../../libs/mesh/src/core/broker.port.js';
import type { BrokerInput, ChaosServer } from './chaos-server.js';
import { isFull } from './conformance.fixture.js';
import { nats } from './nats-server.js';
import { rabbitMqNode } from './rabbitmq-node.js';
import { rabbitMq } from './rabbitmq-server.js';
import { remoteBroker, type RemoteBroker } from './remote-broker.fixture.js';

const stored = { name: 'worker', guarantee: 'atLeastOnce' } as const;
const connectionOf = ({ told }: RemoteBroker): string[] =>
  told.filter(({ name }) => name === 'broker.connection').map(({ event }) => (event as { state: string }).state);

/** The node of our own is stopped and killed itself, not its wire; it takes its time. */
const kinds = isFull ? [nats, rabbitMq, rabbitMqNode] : [nats, rabbitMq];
const START_MS = 120_000;

for (const kind of kinds)
  describe.skipIf(kind.whyNot)(`${kind.name}, under faults${kind.whyNot}`, () => {
    let server: ChaosServer;
    let cases = 0;
    const brokers: RemoteBroker[] = [];

    async function instance(more: object = {}): Promise<RemoteBroker> {
      const remote = await remoteBroker({ ...server.options(`fault-${cases}`), ...more } as BrokerInput);
      brokers.push(remote);
      return remote;
    }

    beforeAll(async () => {
      server = await kind.start();
    }, START_MS);
    afterAll(() => server?.stop());
    beforeEach(() => void cases++);
    afterEach(async () => {
      server.resume();
      await server.start();
      await Promise.all(brokers.splice(0).map(({ broker }) => broker.stop()));
    }, START_MS);

    it('rejects what a hung server does not answer, notices it, and goes on when it is back', async () => {
      const remote = await instance();
      const { broker } = remote;
      broker.serve('echo', (payload: unknown) => payload);
      await broker.subscribe('orders', () => undefined, stored);
      await broker.waitFor(['echo']);
      server.hang();
      const [request, publish] = await Promise.allSettled([
        broker.request('echo', 1, { timeoutMs: 200 }),
        broker.publish('orders', 1, { guarantee: 'confirmed', timeoutMs: 200 }),
      ]);
      expect(request).toMatchObject({ status: 'rejected', reason: { code: 'MESH_REQUEST_TIMEOUT' } });
      expect(publish).toMatchObject({ status: 'rejected', reason: { details: { outcome: 'unknown' } } });
      await expect.poll(() => connectionOf(remote), { timeout: 5_000 }).toContain('away');
      server.resume();
      await broker.waitFor(['echo'], { timeoutMs: 10_000 });
      expect(await broker.request('echo', 2)).toBe(2);
      expect(broker.readHealth()).toMatchObject([{ status: 'up' }]);
    }, 30_000);

    it(
      'starts without its server where that is allowed, says so, and uses it when it comes',
      async () => {
        await server.kill();
        const remote = await instance({ required: false });
        const { broker } = remote;
        const got: unknown[] = [];
        broker.serve('echo', (payload: unknown) => payload);
        await broker.subscribe('orders', (n) => void got.push(n), stored);
        await expect.poll(() => connectionOf(remote), { timeout: 5_000 }).toEqual(['away']);
        expect(broker.readHealth()).toMatchObject([{ status: 'down' }]);
        await expect(broker.request('echo')).rejects.toMatchObject({ details: { outcome: 'unsent' } });
        await expect(broker.deadLetters('orders').list()).rejects.toMatchObject({
          code: 'MESH_DEAD_LETTERS_UNREACHABLE',
        });
        const waits = broker.publish('orders', 1, { guarantee: 'confirmed', timeoutMs: START_MS });
        await server.start();
        await waits;
        await broker.waitFor(['echo'], { timeoutMs: 10_000 });
        await expect.poll(() => got, { timeout: 5_000 }).toEqual([1]);
        expect(connectionOf(remote)).toEqual(['away', 'up']);
      },
      START_MS,
    );

    it('delivers a message elsewhere, as another attempt, when its instance goes', async () => {
      const [first, second] = [await instance(), await instance()];
      const got: number[] = [];
      await first.broker.subscribe('orders', () => new Promise(() => undefined), stored);
      await first.broker.publish('orders', 1, { guarantee: 'confirmed' });
      await sleep(100);
      await first.broker.stop();
      await second.broker.subscribe('orders', (_n, { attempt }) => void got.push(attempt), stored);
      await expect.poll(() => got, { timeout: 8_000 }).toEqual([2]);
    }, 20_000);

    it('keeps a message that is long in the making to itself', async () => {
      const runs: number[] = [];
      const handler = async (_n: unknown, { attempt }: Message): Promise<void> => {
        runs.push(attempt);
        await sleep(3_000);
      };
      const [{ broker: publisher }] = [await instance(), await instance()];
      for (const { broker } of brokers) await broker.subscribe('orders', handler, stored);
      await publisher.publish('orders', 1, { guarantee: 'confirmed' });
      await sleep(3_500);
      expect(runs).toEqual([1]);
    }, 20_000);

    it('tells how many messages wait on the server', async () => {
      const { broker } = await instance();
      await broker.subscribe('orders', () => new Promise(() => undefined), { ...stored, concurrency: 1 });
      for (let n = 0; n < 5; n++) await broker.publish('orders', n, { guarantee: 'confirmed' });
      const lag = (): unknown => broker.readHealth()[0]!.details?.['lag'];
      await expect.poll(lag, { timeout: 8_000 }).toBeGreaterThanOrEqual(3);
    }, 20_000);
  });
