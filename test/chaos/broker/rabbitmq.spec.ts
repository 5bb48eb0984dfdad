import { type Channel, Connection } from 'rabbitmq-client';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { passingQueue } from '../../../libs/mesh/src/broker/rabbitmq/plain-events.js';
import type { Message } from '../../../libs/mesh/src/core/broker.port.js';
import type { BrokerInput } from './chaos-server.js';
import { rabbitMq, RabbitMqServer } from './rabbitmq-server.js';
import { remoteBroker, type RemoteBroker } from './remote-broker.fixture.js';

let server: RabbitMqServer;
let namePrefix: string;
let cases = 0;
const brokers: RemoteBroker[] = [];

async function instance(
  options: { readonly maxMessageBytes?: number; readonly dedupe?: { readonly leaseMs: number } } = {},
): Promise<RemoteBroker> {
  const remote = await remoteBroker({ ...server.options(`own-${cases}`), ...options } as BrokerInput);
  brokers.push(remote);
  return remote;
}

describe.skipIf(rabbitMq.whyNot)(`RabbitMQ, in its own ways${rabbitMq.whyNot}`, () => {
  beforeAll(async () => {
    server = await RabbitMqServer.start();
  });
  afterAll(() => server?.stop());
  beforeEach(() => {
    namePrefix = server.prefix(`own-${++cases}`);
  });
  afterEach(async () => {
    await server.start();
    await Promise.all(brokers.splice(0).map(({ broker }) => broker.stop()));
  });

  it('refuses to confirm what no queue keeps', async () => {
    const { broker } = await instance();
    await expect(broker.publish('nobody', 1, { guarantee: 'confirmed' })).rejects.toMatchObject({
      code: 'MESH_PUBLISH_UNCONFIRMED',
      details: { outcome: 'unsent' },
    });
    await expect(broker.publish('nobody', 1)).resolves.toBeDefined();
  });

  it.each(['sent', 'confirmed'] as const)(
    'tells at once that a queue refused a message to be %s, and doubles it for nobody',
    async (guarantee) => {
      const { broker } = await instance();
      const got: unknown[] = [];
      await broker.subscribe('orders', (n) => void got.push(n), { name: 'worker', guarantee: 'atLeastOnce' });
      await server.withChannel(async (channel) => {
        const queue = `${namePrefix}.full`;
        const full = { 'x-max-length': 1, 'x-overflow': 'reject-publish' } as const;
        await channel.queueDeclare({ queue, durable: true, arguments: full });
        await channel.queueBind({ queue, exchange: `${namePrefix}.events`, routingKey: 'orders' });
      });
      await broker.publish('orders', 1, { guarantee });
      await expect(broker.publish('orders', 2, { guarantee })).rejects.toMatchObject({
        code: 'MESH_PUBLISH_UNCONFIRMED',
        message: expect.stringContaining('refused it') as string,
        details: { outcome: 'unknown' },
      });
      await expect.poll(() => got).toEqual([1, 2]);
    },
  );

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

  it('makes a dead letter of a message whose headers leave no more room', async () => {
    const { broker } = await instance();
    const fail = (): never => {
      throw new Error('no'.repeat(500));
    };
    const options = { name: 'worker', guarantee: 'atLeastOnce', maxDeliver: 2, backoffMs: [10] } as const;
    await broker.subscribe('orders', fail, options);
    // The largest that is taken.
    const headers = { large: 'x'.repeat(21_700) };
    await broker.publish('orders', 1, { id: 'large', guarantee: 'confirmed', headers });
    await expect(broker.publish('orders', 1, { headers: { large: 'x'.repeat(21_900) } })).rejects.toThrow(/headers/);
    await expect
      .poll(async () => (await broker.deadLetters('orders').list()).map(({ message }) => message.id))
      .toEqual(['large']);
    expect(await broker.deadLetters('orders').redrive()).toBe(1);
  });

  it('does not count as a delivery that a message waits for the handling of its id', async () => {
    const { broker } = await instance({ dedupe: { leaseMs: 200 } });
    const attempts: number[] = [];
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const handler = (_payload: unknown, { attempt }: Message): Promise<void> =>
      gates[attempts.push(attempt) - 1]!.promise;
    await broker.subscribe('orders', handler, { name: 'worker', guarantee: 'atLeastOnce', dedupe: true });
    for (const _ of gates) await broker.publish('orders', 1, { id: 'twice', guarantee: 'confirmed' });
    await expect.poll(() => attempts, { timeout: 5_000 }).toEqual([1, 1]);
    for (const { resolve } of gates) resolve();
  });

  it('takes the queue of a subscription of its own away with it, once its handlers are done', async () => {
    const { broker } = await instance();
    const gate = Promise.withResolvers<void>();
    const again = Promise.withResolvers<void>();
    const handler = async (_payload: unknown, { attempt }: Message): Promise<void> => {
      if (attempt === 1) throw new Error('not now');
      again.resolve();
      await gate.promise;
    };
    const options = { name: 'worker', guarantee: 'atLeastOnce', group: false, backoffMs: [10] } as const;
    const subscription = await broker.subscribe('orders', handler, options);
    await broker.publish('orders', 1, { guarantee: 'confirmed' });
    await again.promise;
    const queues = [...server.declared].filter((name) => name.startsWith(`${namePrefix}.stored.orders|own.`));
    const isThere = (queue: string): Promise<boolean> =>
      server.withChannel((channel) => channel.queueDeclare({ queue, passive: true })).then(() => true, isNotFound);
    const there = (): Promise<boolean[]> => Promise.all(queues.map(isThere));
    const stopped = subscription.stop();
    expect(await there()).toEqual([true, true]);
    gate.resolve();
    await stopped;
    await expect.poll(there).toEqual([false, false]);
  });

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

  it('goes on when the channel of a consumer closes in the moment in which it begins', async () => {
    const { broker } = await instance();
    const got: unknown[] = [];
    server.closeChannelOfNextConsumer();
    await broker.subscribe('orders', (n) => void got.push(n), { name: 'worker', guarantee: 'atLeastOnce' });
    await broker.publish('orders', 1, { guarantee: 'confirmed' });
    await expect.poll(() => got, { timeout: 5_000 }).toEqual([1]);
  });

  it('does not run a request whose time went by in its queue', async () => {
    const { broker } = await instance();
    const queue = passingQueue(`${namePrefix}.request.late`);
    await server.withChannel((channel) => channel.queueDeclare(queue));
    await expect(broker.request('late', 1, { timeoutMs: 50 })).rejects.toMatchObject({ code: 'MESH_REQUEST_TIMEOUT' });
    const runs: unknown[] = [];
    broker.serve('late', (n) => void runs.push(n));
    await broker.request('late', 2);
    expect(runs).toEqual([2]);
  });

  it('keeps a dead letter whose queue is gone, and sends those behind it again', async () => {
    const { broker } = await instance();
    let isWell = false;
    const got: string[] = [];
    const fail = (_payload: unknown, { id }: Message): void => {
      if (!isWell) throw new Error('out of order');
      got.push(id);
    };
    for (const name of ['gone', 'there']) {
      const options = { name, guarantee: 'atLeastOnce', maxDeliver: 1 } as const;
      const subscription = await broker.subscribe('orders', fail, options);
      await broker.publish('orders', 1, { id: name, guarantee: 'confirmed' });
      const letters = broker.deadLetters('orders');
      await expect.poll(async () => (await letters.list()).some(({ message }) => message.id === name)).toBe(true);
      if (name === 'there') continue;
      await subscription.stop();
      await server.withChannel((channel) => channel.queueDelete(`${namePrefix}.stored.orders|shop.gone`));
    }
    isWell = true;
    expect(await broker.deadLetters('orders').redrive()).toBe(1);
    await expect.poll(() => got).toEqual(['there']);
    expect(await broker.deadLetters('orders').list()).toMatchObject([{ handler: 'gone' }]);
  });

  it('makes no queue by looking for dead letters', async () => {
    const { broker } = await instance();
    expect(await broker.deadLetters('orders').list()).toEqual([]);
    const queue = `${namePrefix}.dead.orders`;
    const looked = server.withChannel((channel) => channel.queueDeclare({ queue, passive: true }));
    await expect(looked).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('leaves no channel behind when its exchange cannot be declared', async () => {
    await server.withChannel((channel) =>
      channel.exchangeDeclare({ exchange: `${namePrefix}.events`, type: 'topic', durable: true }),
    );
    const opened: Channel[] = [];
    let most = 0;
    const { acquire } = Connection.prototype;
    const acquired = vi.spyOn(Connection.prototype, 'acquire').mockImplementation(async function (
      this: Connection,
      ...args
    ) {
      const channel = await acquire.apply(this, args);
      opened.push(channel);
      most = Math.max(most, opened.filter(({ active }) => active).length);
      return channel;
    });
    await expect(remoteBroker(server.options(`own-${cases}`), AbortSignal.timeout(1_500))).rejects.toThrow(
      /inequivalent/,
    );
    acquired.mockRestore();
    expect(opened.length).toBeGreaterThan(3);
    // Of one attempt: requests, confirmations, and the exchange.
    expect(most).toBe(3);
  });

  it('opens the context of a request without one under its own id', async () => {
    const { broker, contexts } = await instance();
    const ids: unknown[] = [];
    broker.serve('stock', () => void ids.push(contexts.current()?.correlationId));
    await broker.waitFor(['stock']);
    await broker.request('stock');
    await broker.request('stock');
    expect(new Set(ids).size).toBe(2);
    expect(ids).not.toContain('stock');
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
    const starting = remoteBroker(server.options('own'), AbortSignal.timeout(300));
    await expect(starting).rejects.toThrow(/No connection to RabbitMQ at 127\.0\.0\.1:\d+: .*ECONNREFUSED/);
  });
});

function isNotFound(error: unknown): false {
  expect(error).toMatchObject({ code: 'NOT_FOUND' });
  return false;
}
