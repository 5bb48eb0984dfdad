import assert from 'node:assert/strict';
import type { Message, RequestMessage } from '../core/broker.port.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import { isMeshError, MeshError } from '../core/mesh.error.js';
import {
  clock,
  eventually,
  never,
  numbers,
  rejectsWith,
  type BrokerFeature,
  type BrokerUnderTest,
  type Rule,
} from './broker-under-test.js';
import { durableRules } from './durable-broker.conformance.js';
import { instanceRules } from './instances.conformance.js';
import { restartRules } from './restart.conformance.js';

/** One rule that every broker keeps. Give `name` and `run` to the test runner of your choice. */
export interface ConformanceCase {
  readonly name: string;
  run(): Promise<void>;
}

const featureRules: Readonly<Record<BrokerFeature, Readonly<Record<string, Rule>>>> = {
  instances: instanceRules,
  durable: durableRules,
  restart: restartRules,
};

const rules: Readonly<Record<string, Rule>> = {
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
    const startedAt = clock.monotonic();
    await rejectsWith(broker.request('conformance.nobody'), 'MESH_NO_RESPONDER');
    assert.ok(clock.monotonic() - startedAt < 500, 'it took more than 500 ms');
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

  'brings headers and deadline to the handler': async ({ broker }) => {
    let seen: RequestMessage | undefined;
    broker.serve('conformance.headers', (_payload: unknown, message: RequestMessage) => {
      seen = message;
    });
    await broker.request('conformance.headers', null, { headers: { tenant: 'a' }, timeoutMs: 1_000 });
    assert.equal(seen?.headers['tenant'], 'a');
    const remainingMs = seen.deadlineAt - clock.now();
    assert.ok(remainingMs > 0 && remainingMs <= 1_000, `${remainingMs} ms remain`);
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

  'hands a message to every subscription of its topic': async ({ broker }) => {
    const a: Message[] = [];
    const b: Message[] = [];
    await broker.subscribe('conformance.topic', (_payload, message) => void a.push(message), { name: 'a' });
    await broker.subscribe('conformance.topic', (_payload, message) => void b.push(message), { name: 'b' });
    await broker.publish('conformance.topic', { n: 1 }, { id: 'm-1', headers: { tenant: 'a' } });
    await eventually(() => a.length === 1 && b.length === 1, 'a subscription got nothing');
    const { id, topic, payload, headers, attempt } = a[0]!;
    assert.deepEqual(
      { id, topic, payload, headers: { tenant: headers['tenant'] }, attempt },
      { id: 'm-1', topic: 'conformance.topic', payload: { n: 1 }, headers: { tenant: 'a' }, attempt: 1 },
    );
  },

  'waits until a pattern is served': async ({ broker }) => {
    const served = broker.waitFor(['conformance.late'], { timeoutMs: 5_000 });
    await clock.sleep(30);
    broker.serve('conformance.late', () => 1);
    await served;
    await rejectsWith(broker.waitFor(['conformance.never'], { timeoutMs: 50 }), 'MESH_REQUEST_TIMEOUT');
  },

  'handles a message id once where that is asked for, and again after a failure': async ({ broker }) => {
    const attempts: string[] = [];
    const handler = (_payload: unknown, { id, attempt }: Message): void => {
      attempts.push(`${id} ${attempt}`);
      if (id === 'm-2' && attempt === 1) throw new Error('not yet');
    };
    await broker.subscribe('conformance.once', handler, { name: 'once', dedupe: true, backoffMs: [5] });
    for (const id of ['m-1', 'm-1', 'm-2']) {
      await broker.publish('conformance.once', 1, { id });
      await clock.sleep(20);
    }
    await eventually(() => attempts.length === 3, 'a message is missing');
    assert.deepEqual(attempts, ['m-1 1', 'm-2 1', 'm-2 2']);
  },

  'refuses payloads that do not fit a schema, on either side': async ({ broker }) => {
    broker.serve('conformance.schema', (n: number) => n * 2, { schema: wholeNumber });
    assert.equal(await broker.request('conformance.schema', '21'), 42);
    await rejectsWith(broker.request('conformance.schema', 'x'), 'MESH_PAYLOAD_INVALID');
    await rejectsWith(broker.request('conformance.schema', 'x', { schema: wholeNumber }), 'MESH_PAYLOAD_INVALID');
    await rejectsWith(broker.publish('conformance.schema', 'x', { schema: wholeNumber }), 'MESH_PAYLOAD_INVALID');
  },

  'gives each message to one member of a group': async ({ broker }) => {
    const got: unknown[] = [];
    for (const name of ['a', 'b'])
      await broker.subscribe('conformance.group', (n) => void got.push(n), { name, group: 'workers' });
    for (let n = 0; n < 50; n++) await broker.publish('conformance.group', n);
    await eventually(() => got.length >= 50, 'messages are missing');
    await clock.sleep(20);
    assert.deepEqual(
      [...got].sort((x, y) => Number(x) - Number(y)),
      Array.from({ length: 50 }, (_, n) => n),
    );
  },

  'delivers again after a failure, and publish knows nothing of it': async ({ broker }) => {
    const attempts: number[] = [];
    const other: unknown[] = [];
    await broker.subscribe(
      'conformance.retry',
      (_payload, message) => {
        attempts.push(message.attempt);
        if (attempts.length < 3) throw new Error('not yet');
      },
      { name: 'flaky', backoffMs: [5] },
    );
    await broker.subscribe('conformance.retry', (payload) => void other.push(payload), { name: 'steady' });
    await broker.publish('conformance.retry', 1);
    await eventually(() => attempts.length === 3, 'the message did not come again');
    assert.deepEqual(attempts, [1, 2, 3]);
    assert.deepEqual(other, [1]);
  },

  'gives up after maxDeliver': async ({ broker }) => {
    let attempts = 0;
    const fail = (): never => {
      attempts++;
      throw new Error('never');
    };
    await broker.subscribe('conformance.poison', fail, { name: 'poisoned', maxDeliver: 2, backoffMs: [5] });
    await broker.publish('conformance.poison', 1);
    await eventually(() => attempts === 2, 'the message did not come again');
    await clock.sleep(50);
    assert.equal(attempts, 2);
  },

  'runs at most `concurrency` handlers of a subscription at once': async ({ broker }) => {
    let running = 0;
    let most = 0;
    let done = 0;
    const work = async (): Promise<void> => {
      most = Math.max(most, ++running);
      await clock.sleep(2);
      running--;
      done++;
    };
    await broker.subscribe('conformance.busy', work, { concurrency: 3 });
    for (let n = 0; n < 12; n++) await broker.publish('conformance.busy', n);
    await eventually(() => done === 12, 'messages are missing');
    assert.equal(most, 3);
  },

  'handles messages of one key one at a time and in order, and others beside them': async ({ broker }) => {
    const got: Record<string, number[]> = { a: [], b: [] };
    let running = 0;
    let most = 0;
    const busy = new Set<string>();
    const work = async (n: number, { headers }: Message<number>): Promise<void> => {
      const key = headers['mesh-key']!;
      assert.ok(!busy.has(key), `two messages of the key ${key} are handled at once`);
      busy.add(key);
      most = Math.max(most, ++running);
      await clock.sleep(n % 3);
      got[key]!.push(n);
      running--;
      busy.delete(key);
    };
    await broker.subscribe('conformance.keyed', work, { name: 'keyed', concurrency: 8, maxDeliver: 1 });
    for (const n of numbers(20)) for (const key of ['a', 'b']) await broker.publish('conformance.keyed', n, { key });
    await eventually(() => got['a']!.length + got['b']!.length === 40, 'messages are missing');
    assert.deepEqual(got, { a: numbers(20), b: numbers(20) });
    assert.equal(most, 2);
  },

  'refuses messages when a subscriber is too slow, instead of growing': async ({ broker, maxQueued }) => {
    if (maxQueued === undefined) return;
    await broker.subscribe('conformance.stuck', never, { concurrency: 1 });
    const flood = async (): Promise<void> => {
      for (let n = 0; n <= maxQueued + 1; n++) await broker.publish('conformance.stuck', n);
    };
    await rejectsWith(flood(), 'MESH_OVERLOADED');
  },

  'finishes running handlers when a subscription stops, and delivers no more': async ({ broker }) => {
    const gate = Promise.withResolvers<void>();
    const done: unknown[] = [];
    let started = false;
    const subscription = await broker.subscribe('conformance.stop', async (payload) => {
      started = true;
      await gate.promise;
      done.push(payload);
    });
    await broker.publish('conformance.stop', 1);
    await eventually(() => started, 'the handler did not start');
    const stopped = subscription.stop();
    await broker.publish('conformance.stop', 2);
    gate.resolve();
    await stopped;
    await clock.sleep(20);
    assert.deepEqual(done, [1]);
  },

  'answers callers whose handler runs when the drain begins, and takes no new work': async ({ broker }) => {
    const gate = Promise.withResolvers<string>();
    broker.serve('conformance.drain', () => gate.promise);
    const running = broker.request('conformance.drain');
    await clock.sleep(20);
    const drained = broker.drain({ deadlineAt: clock.now() + 5_000 });
    await rejectsWith(broker.request('conformance.drain'), 'MESH_DRAINING');
    gate.resolve('finished');
    assert.equal(await running, 'finished');
    assert.deepEqual((await drained).abandoned, []);
  },

  'reports what a drain had to abandon': async ({ broker }) => {
    let started = false;
    await broker.subscribe('conformance.hang', () => ((started = true), never()), { name: 'hanging' });
    await broker.publish('conformance.hang', 1);
    await eventually(() => started, 'the handler did not start');
    const { abandoned } = await broker.drain({ deadlineAt: clock.now() + 30 });
    assert.deepEqual(
      abandoned.map(({ name }) => name),
      ['hanging'],
    );
  },
};

/**
 * What every broker must do, ours and a user's own, and what those must that have what is named in `features`. `create` is
 * called once for each case.
 *
 * Runs under any test runner: `for (const { name, run } of brokerConformance(create)) it(name, run);`
 */
export function brokerConformance(
  create: () => Promise<BrokerUnderTest> | BrokerUnderTest,
  features: readonly BrokerFeature[] = [],
): readonly ConformanceCase[] {
  const applicable = { ...rules };
  for (const feature of features) Object.assign(applicable, featureRules[feature]);
  return Object.entries(applicable).map(([name, rule]) => ({
    name,
    run: async () => {
      const subject = await create();
      try {
        await rule(subject);
      } finally {
        await subject.close();
      }
    },
  }));
}

/** Any Standard Schema; this one takes digits and gives a number. */
const wholeNumber = {
  '~standard': {
    version: 1,
    vendor: 'conformance',
    validate: (value: unknown) =>
      Number.isInteger(Number(value)) ? { value: Number(value) } : { issues: [{ message: 'must be a whole number' }] },
  },
} as const;
