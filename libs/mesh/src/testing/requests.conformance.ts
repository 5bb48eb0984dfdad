import assert from 'node:assert/strict';
import type { RequestMessage } from '../core/broker.port.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import { isMeshError, MeshError } from '../core/mesh.error.js';
import { clock, eventually, never, numbers, rejectsWith, wholeNumber, type Rule } from './broker-under-test.js';

/** Rules of every broker, for what is asked and answered. */
export const requestRules: Readonly<Record<string, Rule>> = {
  'answers requests at every concurrency, and none hangs': async ({ broker }) => {
    broker.serve('conformance.echo', async (payload: number) => payload);
    for (const width of [1, 2, 8, 64]) {
      const wanted = Array.from({ length: width }, (_, n) => n);
      const answers = await Promise.all(wanted.map((n) => broker.request<number>('conformance.echo', n)));
      assert.deepEqual(answers, wanted);
    }
  },

  'carries every kind of payload, and nothing is a value': async ({ broker, maxPayloadBytes = 1024 * 1024 }) => {
    broker.serve('conformance.echo', (payload: unknown) => payload);
    const large = 'x'.repeat(maxPayloadBytes);
    const payloads = [null, 0, false, '', 'žluťoučký 🐎', [1, [2]], { a: { b: null } }, Buffer.from([0, 255]), large];
    for (const payload of payloads) assert.deepEqual(await broker.request('conformance.echo', payload), payload);
    assert.equal(await broker.request('conformance.echo'), undefined);
  },

  'finds the handler of an object pattern whatever the order of its keys': async ({ broker }) => {
    broker.serve({ cmd: 'sum', version: 1 }, () => 'found');
    assert.equal(await broker.request({ version: 1, cmd: 'sum' }), 'found');
  },

  'refuses a second handler of a pattern': async ({ broker }) => {
    broker.serve('conformance.one', () => 1);
    assert.throws(() => broker.serve('conformance.one', () => 2), MeshConfigError);
  },

  'rejects at once when nobody answers': async ({ broker }) => {
    const took: number[] = [];
    for (let tries = 0; tries < 5; tries++) {
      const startedAt = clock.monotonic();
      await rejectsWith(broker.request('conformance.nobody'), 'MESH_NO_RESPONDER');
      took.push(clock.monotonic() - startedAt);
    }
    assert.ok(Math.min(...took) <= 50, `it took ${Math.min(...took)} ms at best`);
  },

  'rejects when the answer does not come in time, and tells the handler': async ({ broker }) => {
    let signal: AbortSignal | undefined;
    broker.serve('conformance.slow', (_payload: unknown, message: RequestMessage) => {
      signal = message.signal;
      return never();
    });
    await rejectsWith(broker.request('conformance.slow', null, { timeoutMs: 50 }), 'MESH_REQUEST_TIMEOUT');
    await eventually(() => signal?.aborted === true, 'the handler was not told');
  },

  "rejects with the reason of the caller's signal": async ({ broker }) => {
    broker.serve('conformance.slow', never);
    const caller = new AbortController();
    const request = broker.request('conformance.slow', null, { signal: caller.signal });
    caller.abort(new Error('changed my mind'));
    await assert.rejects(request, /changed my mind/);
  },

  'brings headers, trace and deadline to the handler': async ({ broker }) => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    let seen: RequestMessage | undefined;
    broker.serve('conformance.headers', (_payload: unknown, message: RequestMessage) => {
      seen = message;
    });
    await broker.request('conformance.headers', null, { headers: { tenant: 'a', traceparent }, timeoutMs: 1_000 });
    assert.equal(seen?.headers['tenant'], 'a');
    assert.equal(seen.headers['traceparent'], traceparent);
    const remainingMs = seen.deadlineAt - clock.now();
    assert.ok(remainingMs > 0 && remainingMs <= 1_000, `${remainingMs} ms remain`);
  },

  'does not run work whose time is over, at whatever depth': async ({ broker }) => {
    let runs = 0;
    broker.serve('conformance.inner', () => runs++);
    const inner = Promise.withResolvers<unknown>();
    broker.serve('conformance.outer', async () => {
      await clock.sleep(60);
      inner.resolve(broker.request('conformance.inner').catch((error: unknown) => error));
    });
    await rejectsWith(broker.request('conformance.outer', null, { timeoutMs: 30 }), 'MESH_REQUEST_TIMEOUT');
    assert.ok(isMeshError(await inner.promise, 'MESH_REQUEST_TIMEOUT'), String(await inner.promise));
    await assert.rejects(broker.request('conformance.inner', null, { signal: AbortSignal.abort(new Error('gone')) }));
    assert.equal(runs, 0);
  },

  'refuses requests beyond its limit, as work that others may take': async ({ broker, maxInFlight }) => {
    if (maxInFlight === undefined) return;
    const gate = Promise.withResolvers<void>();
    broker.serve('conformance.crowded', () => gate.promise);
    const running = numbers(maxInFlight).map(() => broker.request('conformance.crowded'));
    await assert.rejects(
      broker.request('conformance.crowded'),
      (error) => isMeshError(error, 'MESH_OVERLOADED') && error.retryable,
    );
    gate.resolve();
    await Promise.all(running);
  },

  'keeps code and retryability of a mesh error': async ({ broker }) => {
    broker.serve('conformance.fails', () => {
      throw new MeshError('out of stock', { code: 'MESH_TEST', status: 409, retryable: true });
    });
    await assert.rejects(
      broker.request('conformance.fails'),
      (error) => isMeshError(error, 'MESH_TEST') && error.retryable,
    );
  },

  'waits until a pattern is served': async ({ broker }) => {
    const served = broker.waitFor(['conformance.late'], { timeoutMs: 5_000 });
    await clock.sleep(30);
    broker.serve('conformance.late', () => 1);
    await served;
    await rejectsWith(broker.waitFor(['conformance.never'], { timeoutMs: 50 }), 'MESH_REQUEST_TIMEOUT');
  },

  'refuses payloads that do not fit a schema, on either side': async ({ broker }) => {
    broker.serve('conformance.schema', (n: number) => n * 2, { schema: wholeNumber });
    assert.equal(await broker.request('conformance.schema', '21'), 42);
    await rejectsWith(broker.request('conformance.schema', 'x'), 'MESH_PAYLOAD_INVALID');
    await rejectsWith(broker.request('conformance.schema', 'x', { schema: wholeNumber }), 'MESH_PAYLOAD_INVALID');
    await rejectsWith(broker.publish('conformance.schema', 'x', { schema: wholeNumber }), 'MESH_PAYLOAD_INVALID');
  },

  'answers callers whose handler runs when the drain begins, and takes no new work': async ({ broker }) => {
    const begun = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<string>();
    broker.serve('conformance.drain', () => (begun.resolve(), gate.promise));
    const running = broker.request('conformance.drain');
    await begun.promise;
    const drained = broker.drain({ deadlineAt: clock.now() + 5_000 });
    await rejectsWith(broker.request('conformance.drain'), 'MESH_DRAINING');
    gate.resolve('finished');
    assert.equal(await running, 'finished');
    assert.deepEqual((await drained).abandoned, []);
  },
};
