import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMeshError } from '../../../libs/mesh/src/core/mesh.error.js';
import { rabbitMqIsHere, RabbitMqServer, whyNot } from './rabbitmq-server.js';
import { remoteBroker, type RemoteBroker } from './remote-broker.fixture.js';

/** 10,000 in the long form: MESH_CHAOS_MESSAGES=10000. */
const MESSAGES = Number(process.env['MESH_CHAOS_MESSAGES'] ?? 1_000);
const PUBLISHERS = 32;
const CUTS = 3;

let server: RabbitMqServer;
let namePrefix: string;
const brokers: RemoteBroker[] = [];

async function instance(options: { readonly maxMessageBytes?: number } = {}): Promise<RemoteBroker> {
  const remote = await remoteBroker({
    transport: 'rabbitmq',
    servers: server.url,
    heartbeatMs: 1_000,
    namePrefix,
    ...options,
  });
  brokers.push(remote);
  return remote;
}

const isAway = ({ told }: RemoteBroker): boolean =>
  told.some(({ name, event }) => name === 'broker.connection' && (event as { state: string }).state === 'away');

describe.skipIf(!rabbitMqIsHere)(`RabbitMQ under faults${whyNot}`, () => {
  beforeAll(async () => {
    server = await RabbitMqServer.start();
  });
  afterAll(() => server?.stop());
  beforeEach(() => {
    namePrefix = server.nextPrefix();
  });
  afterEach(async () => {
    await server.start();
    await Promise.all(brokers.splice(0).map(({ broker }) => broker.stop()));
  });

  it(`loses none of ${MESSAGES} confirmed messages while the connections are cut ${CUTS} times`, async () => {
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
    const cutter = async (): Promise<void> => {
      for (let cut = 1; cut <= CUTS; cut++) {
        while (next < (MESSAGES * cut) / (CUTS + 1)) await sleep(Math.random() * 10);
        await server.kill();
        await sleep(Math.random() * 500);
        await server.start();
      }
    };
    await Promise.all([cutter(), ...Array.from({ length: PUBLISHERS }, publisher)]);
    expect(confirmed.size).toBeGreaterThan(MESSAGES / 2);

    const missing = (): string[] => [...confirmed].filter((id) => !handled.has(id) && !deadLettered.has(id));
    const giveUpAt = Date.now() + 60_000;
    while (missing().length > 0 && Date.now() < giveUpAt) {
      const letters = await broker.deadLetters('orders').list();
      for (const { message } of letters) deadLettered.add(message.id);
      await sleep(200);
    }
    console.log(
      `${MESSAGES} messages, ${confirmed.size} confirmed, ${handled.size} handled, ${deadLettered.size} dead letters, not confirmed:`,
      outcomes,
    );
    expect(missing()).toEqual([]);
  }, 180_000);

  it('rejects what a hung server does not answer, notices it, and goes on when it is back', async () => {
    const remote = await instance();
    const { broker } = remote;
    broker.serve('echo', (payload: unknown) => payload);
    await broker.subscribe('orders', () => undefined, { name: 'worker', guarantee: 'atLeastOnce' });
    await broker.waitFor(['echo']);
    server.hang();
    const [request, publish] = await Promise.allSettled([
      broker.request('echo', 1, { timeoutMs: 200 }),
      broker.publish('orders', 1, { guarantee: 'confirmed', timeoutMs: 200 }),
    ]);
    expect(request).toMatchObject({ status: 'rejected', reason: { code: 'MESH_REQUEST_TIMEOUT' } });
    expect(publish).toMatchObject({ status: 'rejected', reason: { details: { outcome: 'unknown' } } });
    await expect.poll(() => isAway(remote), { timeout: 5_000 }).toBe(true);
    await broker.waitFor(['echo'], { timeoutMs: 10_000 });
    expect(await broker.request('echo', 2)).toBe(2);
    expect(broker.readHealth()).toMatchObject([{ status: 'up' }]);
  }, 30_000);

  it('delivers a message elsewhere, as another attempt, when its instance goes', async () => {
    const [first, second] = [await instance(), await instance()];
    const got: number[] = [];
    const options = { name: 'worker', guarantee: 'atLeastOnce' } as const;
    await first.broker.subscribe('orders', () => new Promise(() => undefined), options);
    await first.broker.publish('orders', 1, { guarantee: 'confirmed' });
    await sleep(100);
    await first.broker.stop();
    await second.broker.subscribe('orders', (_n, { attempt }) => void got.push(attempt), options);
    await expect.poll(() => got, { timeout: 8_000 }).toEqual([2]);
  }, 20_000);

  it('refuses to confirm what no queue keeps', async () => {
    const { broker } = await instance();
    await expect(broker.publish('nobody', 1, { guarantee: 'confirmed' })).rejects.toMatchObject({
      code: 'MESH_PUBLISH_UNCONFIRMED',
      details: { outcome: 'unsent' },
    });
    await expect(broker.publish('nobody', 1)).resolves.toBeDefined();
  });

  it('gives a message that waits for its next delivery to no one before its time, however it got there', async () => {
    const { broker } = await instance();
    const at: number[] = [];
    const handler = (): never => {
      at.push(performance.now());
      throw new Error('not now');
    };
    const options = { name: 'worker', guarantee: 'atLeastOnce', maxDeliver: 3, backoffMs: [100, 400] } as const;
    await broker.subscribe('orders', handler, options);
    await broker.publish('orders', 1, { guarantee: 'confirmed' });
    await expect.poll(() => at.length, { timeout: 5_000 }).toBe(3);
    // Jittered by 20 %.
    expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(79);
    expect(at[2]! - at[1]!).toBeGreaterThanOrEqual(319);
  });

  it('keeps a message whose dead letter cannot be stored, and tries again', async () => {
    const { broker, told } = await instance();
    // A queue of another kind stands in the way.
    const queue = `${namePrefix}.dead.orders`;
    await server.withChannel((channel) => channel.queueDeclare({ queue, durable: true }));
    const fail = (): never => {
      throw new Error('never');
    };
    await broker.subscribe('orders', fail, { name: 'worker', guarantee: 'atLeastOnce', maxDeliver: 1 });
    await broker.publish('orders', 1, { id: 'kept', guarantee: 'confirmed' });
    await expect.poll(() => told.some(({ name }) => name === 'broker.transport-failed')).toBe(true);
    await server.withChannel((channel) => channel.queueDelete({ queue }));
    await expect
      .poll(async () => (await broker.deadLetters('orders').list()).map(({ message }) => message.id), {
        timeout: 8_000,
      })
      .toEqual(['kept']);
  }, 20_000);

  it('goes on with a queue that an operator has deleted', async () => {
    const { broker } = await instance();
    const got: unknown[] = [];
    await broker.subscribe('orders', (n) => void got.push(n), { name: 'worker', guarantee: 'atLeastOnce' });
    await server.withChannel((channel) => channel.queueDelete(`${namePrefix}.stored.orders|shop.worker`));
    await expect
      .poll(() => broker.publish('orders', 1, { guarantee: 'confirmed' }).then(Boolean, () => false), {
        timeout: 5_000,
      })
      .toBe(true);
    await expect.poll(() => got, { timeout: 5_000 }).toEqual([1]);
  });

  it('refuses a payload that the server would close the channel for, and stays connected', async () => {
    const { broker, told } = await instance({ maxMessageBytes: 2_000 });
    broker.serve('large', () => 'x'.repeat(3_000));
    await broker.waitFor(['large']);
    await expect(broker.publish('orders', 'x'.repeat(3_000))).rejects.toMatchObject({ code: 'MESH_PAYLOAD_INVALID' });
    await expect(broker.request('large')).rejects.toMatchObject({ code: 'MESH_PAYLOAD_INVALID' });
    await expect(broker.publish('orders', 1, { headers: { large: 'x'.repeat(70_000) } })).rejects.toMatchObject({
      code: 'MESH_PAYLOAD_INVALID',
    });
    expect(told.filter(({ name }) => name === 'broker.connection')).toHaveLength(1);
  });

  it('reads what other programs mark as JSON or text', async () => {
    const { broker } = await instance();
    const got: unknown[] = [];
    await broker.subscribe('orders', (payload) => void got.push(payload), { name: 'worker' });
    await server.withChannel(async (channel) => {
      const to = { exchange: `${namePrefix}.events`, routingKey: 'orders' };
      await channel.basicPublish(to, { n: 1 });
      await channel.basicPublish(to, 'text');
    });
    await expect.poll(() => got).toEqual([{ n: 1 }, 'text']);
  });

  it('fails the start with the reason when nothing answers', async () => {
    await server.kill();
    const starting = remoteBroker({ transport: 'rabbitmq', servers: server.url }, AbortSignal.timeout(300));
    await expect(starting).rejects.toThrow(/No connection to RabbitMQ at 127\.0\.0\.1:\d+: .*ECONNREFUSED/);
  });
});
