import { connect as connectSocket, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { natsIsHere, NatsServer } from './nats-server.js';
import { remoteBroker, type RemoteBroker } from './remote-broker.fixture.js';

const stored = { guarantee: 'atLeastOnce', maxDeliver: 1 } as const;
const confirmed = { guarantee: 'confirmed' } as const;

let server: NatsServer;
let cases = 0;
const brokers: RemoteBroker[] = [];

async function instance(
  jetstream: { readonly maxBytes?: number } = {},
  pingIntervalMs = 5_000,
): Promise<RemoteBroker['broker']> {
  const subjectPrefix = `own-${cases}`;
  const remote = await remoteBroker({
    transport: 'nats',
    servers: server.url,
    subjectPrefix,
    jetstream,
    pingIntervalMs,
  });
  brokers.push(remote);
  return remote.broker;
}

async function withManager<T>(work: (manager: JetStreamManager) => Promise<T>): Promise<T> {
  const connection = await connect({ servers: server.url });
  try {
    return await work(await jetstreamManager(connection));
  } finally {
    await connection.close();
  }
}

describe.skipIf(!natsIsHere)(
  `NATS, in its own ways${natsIsHere ? '' : ' (skipped: nats-server is not installed)'}`,
  () => {
    beforeAll(async () => {
      server = await NatsServer.start();
    });
    beforeEach(() => void cases++);
    afterEach(async () => {
      await Promise.all(brokers.splice(0).map(({ broker }) => broker.stop()));
    });
    afterAll(() => server?.stop());

    it('says of a silent server that it answers no ping, not that it closed the connection', async () => {
      const broker = await instance({}, 100);
      server.hang();
      try {
        const reason = (): string | undefined => broker.readHealth()[0]?.reason;
        await expect.poll(reason, { timeout: 5_000 }).toMatch(/answers no ping/);
      } finally {
        server.resume();
      }
    });

    it('tells at once that a full stream did not take a message', async () => {
      const broker = await instance({ maxBytes: 2_000 });
      const startedAt = performance.now();
      const publish = (): Promise<unknown> =>
        broker.publish('full', 'x'.repeat(900), { ...confirmed, timeoutMs: 5_000 });
      const results = await Promise.allSettled([publish(), publish(), publish()]);
      expect(results.at(-1)).toMatchObject({
        reason: { code: 'MESH_PUBLISH_UNCONFIRMED', details: { outcome: 'unsent', id: expect.any(String) } },
      });
      expect(String((results.at(-1) as PromiseRejectedResult).reason)).toMatch(/maximum bytes exceeded/);
      expect(performance.now() - startedAt).toBeLessThan(2_000);
    });

    it('makes a dead letter of the largest message that it takes, and says of a larger one that it is too large', async () => {
      const broker = await instance();
      const fail = (): never => {
        throw new Error('no'.repeat(500));
      };
      await broker.subscribe('large', fail, { name: 'worker', ...stored });
      const payload = new Uint8Array(1_048_576 - 8_192);
      const sent = { ...confirmed, headers: { large: 'x'.repeat(3_900) } };
      const { id } = await broker.publish('large', payload, sent);
      await expect
        .poll(async () => (await broker.deadLetters('large').list()).map(({ message }) => message.id))
        .toEqual([id]);
      const headers = { large: 'x'.repeat(9_000) };
      for (const guarantee of ['sent', 'confirmed'] as const)
        await expect(broker.publish('large', payload, { guarantee, headers })).rejects.toThrow(/beside its headers/);
      await expect(broker.request('large', payload, { headers })).rejects.toThrow(/beside its headers/);
    });

    it('keeps a dead letter whose consumer is gone, and sends those behind it again', async () => {
      const broker = await instance();
      let isWell = false;
      const got: string[] = [];
      for (const name of ['gone', 'there']) {
        const handler = (_payload: unknown, { id }: { readonly id: string }): void => {
          if (!isWell) throw new Error('out of order');
          got.push(id);
        };
        const subscription = await broker.subscribe('orders', handler, { ...stored, name });
        await broker.publish('orders', 1, { ...confirmed, id: name });
        const letters = broker.deadLetters('orders');
        const ids = async (): Promise<string[]> => (await letters.list()).map(({ message }) => message.id);
        await expect.poll(ids, { timeout: 5_000 }).toContain(name);
        if (name === 'there') continue;
        await subscription.stop();
        await withManager((manager) => manager.consumers.delete(`own-${cases}_event_orders`, 'shop_gone'));
      }
      await expect.poll(async () => (await broker.deadLetters('orders').list()).length).toBe(3);
      isWell = true;
      // The second group is new to the stream and has given up both messages.
      expect(await broker.deadLetters('orders').redrive()).toBe(2);
      await expect.poll(() => got).toEqual(['gone', 'there']);
      expect(await broker.deadLetters('orders').list()).toMatchObject([{ handler: 'gone' }]);
    });

    it('does not run requests whose time went by behind those that arrived with them', async () => {
      const [caller, callee] = [await instance(), await instance()];
      let runs = 0;
      const block = (): void => {
        runs++;
        for (const until = performance.now() + 60; performance.now() < until;);
      };
      callee.serve('block', block);
      await caller.waitFor(['block']);
      const requests = Array.from({ length: 20 }, () => caller.request('block', undefined, { timeoutMs: 200 }));
      const outcomes = await Promise.allSettled(requests);
      expect(runs).toBeGreaterThanOrEqual(1);
      // Four of each lot that is read together; a busy server may send them in several lots.
      expect(runs).toBeLessThan(requests.length);
      expect(outcomes.at(-1)).toMatchObject({ status: 'rejected', reason: { code: 'MESH_REQUEST_TIMEOUT' } });
    });

    it('closes a connection that is made after the start was given up', async () => {
      const accepted = Promise.withResolvers<Socket>();
      const gate = Promise.withResolvers<void>();
      const sockets = new Set<Socket>();
      const slow = createServer((socket) => {
        sockets.add(socket);
        socket.on('close', () => sockets.delete(socket)).on('error', () => undefined);
        accepted.resolve(socket);
        void gate.promise.then(() => {
          const upstream = connectSocket(server.port, '127.0.0.1');
          upstream.on('error', () => undefined);
          socket.pipe(upstream).pipe(socket);
        });
      });
      slow.listen(0, '127.0.0.1');
      await once(slow, 'listening');
      const { port } = slow.address() as AddressInfo;
      const givenUp = new AbortController();
      const starting = remoteBroker({ transport: 'nats', servers: `nats://127.0.0.1:${port}` }, givenUp.signal);
      const outcome = expect(starting).rejects.toThrow('given up');
      await accepted.promise;
      givenUp.abort(new Error('given up'));
      gate.resolve();
      await outcome;
      await expect.poll(() => sockets.size).toBe(0);
      slow.close();
    });
  },
);
