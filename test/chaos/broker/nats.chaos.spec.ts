import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMeshError } from '../../../libs/mesh/src/core/mesh.error.js';
import { natsIsHere, NatsServer } from './nats-server.js';
import { remoteBroker, type RemoteBroker } from './remote-broker.fixture.js';

/** 10,000 in the long form: MESH_CHAOS_MESSAGES=10000. */
const MESSAGES = Number(process.env['MESH_CHAOS_MESSAGES'] ?? 1_000);
const PUBLISHERS = 32;
const KILLS = 3;

let server: NatsServer;
const brokers: RemoteBroker[] = [];

async function instance(options: { readonly ackWaitMs?: number } = {}): Promise<RemoteBroker> {
  const { ackWaitMs = 2_000 } = options;
  const remote = await remoteBroker({
    transport: 'nats',
    servers: server.url,
    pingIntervalMs: 500,
    jetstream: { ackWaitMs },
  });
  brokers.push(remote);
  return remote;
}

describe.skipIf(!natsIsHere)(`NATS under faults${natsIsHere ? '' : ' (skipped: nats-server is not installed)'}`, () => {
  beforeEach(async () => {
    server = await NatsServer.start();
  });
  afterEach(async () => {
    await Promise.all(brokers.splice(0).map(({ broker }) => broker.stop()));
    await server.stop();
  });

  it(`loses none of ${MESSAGES} confirmed messages while the server is killed ${KILLS} times`, async () => {
    const handled = new Set<string>();
    const deadLettered = new Set<string>();
    for (const { broker } of [await instance(), await instance()])
      await broker.subscribe<number>(
        'orders',
        async (n, { id, attempt }) => {
          await sleep(1);
          // Every message that ends in 7 is only handled at its second delivery, every one in 13 never.
          if (n % 100 === 13 || (n % 10 === 7 && attempt === 1)) throw new Error('not now');
          handled.add(id);
        },
        { name: 'worker', guarantee: 'atLeastOnce', maxDeliver: 3, backoffMs: [20], concurrency: 32 },
      );
    const { broker } = await instance();
    const confirmed = new Set<string>();
    const outcomes = { unsent: 0, unknown: 0 };
    let next = 0;
    const publisher = async (): Promise<void> => {
      for (let n = next++; n < MESSAGES; n = next++) {
        try {
          const { id } = await broker.publish('orders', n, { id: `order-${n}`, guarantee: 'confirmed' });
          confirmed.add(id);
        } catch (error) {
          if (!isMeshError(error, 'MESH_PUBLISH_UNCONFIRMED') && !isMeshError(error, 'MESH_OVERLOADED')) throw error;
          outcomes[error.details?.['outcome'] === 'unknown' ? 'unknown' : 'unsent']++;
        }
        await sleep(Math.random() * 20);
      }
    };
    const killer = async (): Promise<void> => {
      for (let kill = 1; kill <= KILLS; kill++) {
        while (next < (MESSAGES * kill) / (KILLS + 1)) await sleep(Math.random() * 10);
        await server.kill();
        await sleep(Math.random() * 500);
        await server.start();
      }
    };
    await Promise.all([killer(), ...Array.from({ length: PUBLISHERS }, publisher)]);
    expect(next).toBeGreaterThanOrEqual(MESSAGES);
    expect(confirmed.size).toBeGreaterThan(MESSAGES / 2);

    const missing = (): string[] => [...confirmed].filter((id) => !handled.has(id) && !deadLettered.has(id));
    const giveUpAt = Date.now() + 60_000;
    while (missing().length > 0 && Date.now() < giveUpAt) {
      for (const { message } of await broker.deadLetters('orders').list()) deadLettered.add(message.id);
      await sleep(200);
    }
    console.log(
      `${MESSAGES} messages, ${confirmed.size} confirmed, ${handled.size} handled, ${deadLettered.size} dead letters, not confirmed:`,
      outcomes,
    );
    expect(missing()).toEqual([]);
  }, 180_000);

  it('rejects what a hung server does not answer, notices it, and goes on when it is back', async () => {
    const { broker, told } = await instance();
    broker.serve('echo', (payload: unknown) => payload);
    await broker.waitFor(['echo']);
    server.hang();
    const [request, publish] = await Promise.allSettled([
      broker.request('echo', 1, { timeoutMs: 200 }),
      broker.publish('orders', 1, { guarantee: 'confirmed', timeoutMs: 200 }),
    ]);
    expect(request).toMatchObject({ status: 'rejected', reason: { code: 'MESH_REQUEST_TIMEOUT' } });
    expect(publish).toMatchObject({ status: 'rejected', reason: { details: { outcome: 'unknown' } } });
    await expect
      .poll(
        () =>
          told.some(({ name, event }) => name === 'broker.connection' && (event as { state: string }).state === 'away'),
        { timeout: 5_000 },
      )
      .toBe(true);
    expect(broker.readHealth()).toMatchObject([{ status: 'down' }]);
    server.resume();
    await broker.waitFor(['echo'], { timeoutMs: 10_000 });
    expect(await broker.request('echo', 2)).toBe(2);
    expect(broker.readHealth()).toMatchObject([{ status: 'up' }]);
  }, 30_000);

  it('delivers a message elsewhere when its instance dies silently', async () => {
    const first = await instance({ ackWaitMs: 1_000 });
    const second = await instance({ ackWaitMs: 1_000 });
    const got: number[] = [];
    const options = { name: 'worker', guarantee: 'atLeastOnce' } as const;
    await first.broker.subscribe('orders', () => new Promise(() => undefined), options);
    await first.broker.publish('orders', 1, { guarantee: 'confirmed' });
    await sleep(100);
    await first.broker.stop();
    await second.broker.subscribe('orders', (_n, { attempt }) => void got.push(attempt), options);
    await expect.poll(() => got, { timeout: 8_000 }).toEqual([2]);
  }, 20_000);

  it('keeps a message that is long in the making to itself', async () => {
    const first = await instance({ ackWaitMs: 1_000 });
    const second = await instance({ ackWaitMs: 1_000 });
    const runs: string[] = [];
    for (const [name, { broker }] of Object.entries({ first, second }))
      await broker.subscribe(
        'orders',
        async () => {
          runs.push(name);
          await sleep(2_500);
        },
        { name: 'worker', guarantee: 'atLeastOnce' },
      );
    await first.broker.publish('orders', 1, { guarantee: 'confirmed' });
    await sleep(3_500);
    expect(runs).toHaveLength(1);
  }, 20_000);
});
