import assert from 'node:assert/strict';
import type { Message } from '../core/broker.port.js';
import { clock, eventually, never, numbers, rejectsWith, wholeNumber, type Rule } from './broker-under-test.js';

/** Rules of every broker, for what is published. */
export const eventRules: Readonly<Record<string, Rule>> = {
  'fails a publish that nobody awaits without an unhandled rejection': async ({ broker }) => {
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', onUnhandled);
    try {
      void broker.publish('conformance.unawaited', 'x', { schema: wholeNumber });
      await clock.sleep(20);
    } finally {
      process.off('unhandledRejection', onUnhandled);
    }
    assert.deepEqual(unhandled, []);
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
    // All at once: one after the other they could be handled as fast as they come.
    await Promise.all(numbers(12).map((n) => broker.publish('conformance.busy', n)));
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
    gate.resolve();
    await stopped;
    // Not sooner: what a server hands over before it knows of the stop would be lost if it were not handled.
    await broker.publish('conformance.stop', 2);
    await clock.sleep(20);
    assert.deepEqual(done, [1]);
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
