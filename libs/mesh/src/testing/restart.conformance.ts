import assert from 'node:assert/strict';
import { isMeshError } from '../core/mesh.error.js';
import { clock, eventually, never, numbers, sorted, type Rule } from './broker-under-test.js';

const REJECTED_WITHIN_MS = 100;
const BACK_WITHIN_MS = 20_000;

/** Rules of brokers whose server may die and come back. */
export const restartRules: Readonly<Record<string, Rule>> = {
  'rejects every pending request with its outcome within 100 ms when the server dies': async ({ broker, server }) => {
    broker.serve('conformance.hang', never);
    await broker.waitFor(['conformance.hang']);
    const settledAt: number[] = [];
    const pending = numbers(20).map(() =>
      broker.request('conformance.hang', null, { timeoutMs: 60_000 }).catch((error: unknown) => {
        settledAt.push(clock.monotonic());
        return error;
      }),
    );
    await clock.sleep(50);
    await server!.kill();
    const killedAt = clock.monotonic();
    for (const error of await Promise.all(pending)) {
      assert.ok(isMeshError(error, 'MESH_CONNECTION_LOST'), String(error));
      assert.equal(error.details?.['outcome'], 'unknown');
    }
    const slowest = Math.max(...settledAt) - killedAt;
    assert.ok(slowest <= REJECTED_WITHIN_MS, `the last one was rejected ${slowest} ms after the server was gone`);
  },

  'refuses requests as unsent while the server is away': async ({ broker, server }) => {
    broker.serve('conformance.away', () => 1);
    await broker.waitFor(['conformance.away']);
    await server!.kill();
    await clock.sleep(REJECTED_WITHIN_MS);
    await assert.rejects(broker.request('conformance.away'), (error) => {
      assert.ok(isMeshError(error, 'MESH_CONNECTION_LOST'), String(error));
      assert.equal(error.details?.['outcome'], 'unsent');
      return error.retryable;
    });
  },

  'restores handlers and subscriptions when the server is back': async ({ broker, server }) => {
    const got: unknown[] = [];
    broker.serve('conformance.echo', (payload: unknown) => payload);
    await broker.subscribe('conformance.topic', (n) => void got.push(n), { name: 'worker' });
    await broker.waitFor(['conformance.echo']);
    await server!.kill();
    await clock.sleep(300);
    await server!.start();
    await broker.waitFor(['conformance.echo'], { timeoutMs: BACK_WITHIN_MS });
    assert.equal(await broker.request('conformance.echo', 'again'), 'again');
    await broker.publish('conformance.topic', 1);
    await eventually(() => got.length === 1, 'the subscription was not restored');
  },

  'keeps published messages while the server is away, and says so when their time is over': async ({
    broker,
    server,
  }) => {
    const got: unknown[] = [];
    await broker.subscribe('conformance.topic', (n) => void got.push(n), { name: 'worker' });
    await server!.kill();
    await clock.sleep(REJECTED_WITHIN_MS);
    await assert.rejects(broker.publish('conformance.topic', 'lost', { timeoutMs: 50 }), (error) => {
      assert.ok(isMeshError(error, 'MESH_PUBLISH_UNCONFIRMED'), String(error));
      assert.equal(error.details?.['outcome'], 'unsent');
      return true;
    });
    const waiting = numbers(3).map((n) => broker.publish('conformance.topic', n, { timeoutMs: BACK_WITHIN_MS }));
    await server!.start();
    await Promise.all(waiting);
    await eventually(() => got.length === 3, 'a message that waited is missing', BACK_WITHIN_MS);
    assert.deepEqual(sorted(got), [0, 1, 2]);
  },
};
