import assert from 'node:assert/strict';
import type { Message, MessageBroker, SubscribeOptions } from '../core/broker.port.js';
import { clock, eventually, never, numbers, sorted, type Rule } from './broker-under-test.js';

const stored = { name: 'worker', guarantee: 'atLeastOnce', backoffMs: [20] } as const;
const confirmed = { guarantee: 'confirmed' } as const;

/** More than these are not listed. */
const LISTED = 1_000;
/** Published together; 13 of them are one more than what is listed. */
const BATCH = 77;
const otherSubscriptions: Readonly<Record<string, SubscribeOptions>> = {
  'another-group': stored,
  'a-plain-group': {},
  'every-instance': { ...stored, group: false },
  'every-plain-instance': { group: false },
};

/** Rules of brokers that store messages until they are handled. */
export const durableRules: Readonly<Record<string, Rule>> = {
  'keeps confirmed messages for a subscriber that is away': async ({ broker }) => {
    const got: unknown[] = [];
    const first = await broker.subscribe('conformance.kept', (n) => void got.push(n), stored);
    await first.stop();
    for (const n of numbers(3)) await broker.publish('conformance.kept', n, confirmed);
    assert.equal(got.length, 0);
    await broker.subscribe('conformance.kept', (n) => void got.push(n), stored);
    await eventually(() => got.length === 3, 'messages are missing');
    assert.deepEqual(sorted(got), [0, 1, 2]);
  },

  'delivers a stored message again after a failure, then makes it a dead letter that can be sent again': async ({
    broker,
  }) => {
    const attempts: number[] = [];
    let isWell = false;
    const handler = (_payload: unknown, { attempt }: Message): void => {
      attempts.push(attempt);
      if (!isWell) throw new Error('out of order');
    };
    const others: string[] = [];
    await broker.subscribe('conformance.poison', handler, { ...stored, maxDeliver: 2 });
    for (const [name, options] of Object.entries(otherSubscriptions))
      await broker.subscribe('conformance.poison', () => void others.push(name), { ...options, name });
    await broker.publish('conformance.poison', { n: 1 }, { ...confirmed, id: 'p-1', headers: { tenant: 'a' } });

    const letters = broker.deadLetters('conformance.poison');
    let list = await letters.list();
    for (let tries = 0; list.length === 0 && tries < 200; tries++) {
      await clock.sleep(20);
      list = await letters.list();
    }
    assert.deepEqual(attempts, [1, 2]);
    assert.equal(list.length, 1);
    const [{ message, handler: name, attempts: count, error }] = list as [(typeof list)[number]];
    assert.deepEqual(
      { id: message.id, payload: message.payload, tenant: message.headers['tenant'], name, count },
      { id: 'p-1', payload: { n: 1 }, tenant: 'a', name: 'worker', count: 2 },
    );
    assert.match(String(error), /out of order/);

    isWell = true;
    assert.equal(await letters.redrive(['p-1']), 1);
    await eventually(() => attempts.length === 3, 'the dead letter did not come again');
    assert.equal(attempts[2], 1);
    await clock.sleep(100);
    assert.deepEqual(others.sort(), Object.keys(otherSubscriptions).sort(), 'another subscription got the dead letter');
    assert.deepEqual(await letters.list(), []);
  },

  'sends the dead letter of one instance to that instance alone': async ({ broker, another }) => {
    const got: string[] = [];
    let isWell = false;
    const handlerOf = (name: string) => (): void => {
      if (name === 'ill' && !isWell) throw new Error('out of order');
      got.push(name);
    };
    for (const [name, instance] of Object.entries({ ill: broker, well: await another!() }))
      await instance.subscribe('conformance.own', handlerOf(name), { ...stored, group: false, maxDeliver: 1 });
    await broker.subscribe('conformance.own', handlerOf('group'), { ...stored, name: 'group' });
    await broker.publish('conformance.own', 1, confirmed);
    const letters = broker.deadLetters('conformance.own');
    for (let tries = 0; (await letters.list()).length === 0 && tries < 200; tries++) await clock.sleep(20);
    await eventually(() => got.length === 2, 'a message is missing');
    isWell = true;
    assert.equal(await letters.redrive(), 1);
    await eventually(() => got.length === 3, 'the dead letter did not come again');
    await clock.sleep(100);
    assert.deepEqual(got.sort(), ['group', 'ill', 'well']);
  },

  'sends each dead letter again once, also when it fails at once, and reaches those beyond the listed ones': async ({
    broker,
  }) => {
    const count = LISTED + 1;
    let failures = 0;
    const fail = (): never => {
      failures++;
      throw new Error('never');
    };
    await broker.subscribe('conformance.many', fail, { ...stored, maxDeliver: 1 });
    for (const n of numbers(count / BATCH))
      await Promise.all(
        numbers(BATCH).map((m) => broker.publish('conformance.many', 1, { ...confirmed, id: `m-${n * BATCH + m}` })),
      );
    await eventually(() => failures === count, 'messages are missing', 30_000);
    const letters = broker.deadLetters('conformance.many');
    await clock.sleep(200);
    assert.equal((await letters.list()).length, LISTED);
    assert.equal(await letters.redrive(), count);
    await eventually(() => failures === 2 * count, 'dead letters did not come again', 30_000);
    await clock.sleep(200);
    assert.equal(failures, 2 * count);
    assert.equal(await letters.discard(), count);
    assert.deepEqual(await letters.list(), []);
  },

  'takes what a message is passed on with for headers of the caller': async ({ broker }) => {
    const got: Message[] = [];
    let isWell = false;
    const forward = async (payload: unknown, { headers }: Message): Promise<void> => {
      if (!isWell) throw new Error('out of order');
      await broker.publish('conformance.passed', payload, { ...confirmed, id: 'on', headers });
    };
    await broker.subscribe('conformance.received', forward, { ...stored, name: 'forward', maxDeliver: 2 });
    await broker.subscribe('conformance.passed', (_n, message) => void got.push(message), stored);
    const bytes = new Uint8Array([1, 2, 3]);
    await broker.publish('conformance.received', bytes, { ...confirmed, id: 'first', headers: { tenant: 'a' } });
    const letters = broker.deadLetters('conformance.received');
    for (let tries = 0; (await letters.list()).length === 0 && tries < 200; tries++) await clock.sleep(20);
    isWell = true;
    assert.equal(await letters.redrive(), 1);
    await eventually(() => got.length > 0, 'the message that was passed on is missing');
    const [{ id, attempt, headers, payload }] = got as [Message];
    assert.deepEqual({ id, attempt, tenant: headers['tenant'] }, { id: 'on', attempt: 1, tenant: 'a' });
    assert.deepEqual([...(payload as Uint8Array)], [1, 2, 3]);
    const [last] = await passOn(broker, got[0]!);
    assert.deepEqual(last, { n: 1 });
  },

  'forgets dead letters that are discarded': async ({ broker }) => {
    const fail = (): never => {
      throw new Error('never');
    };
    await broker.subscribe('conformance.discard', fail, { ...stored, maxDeliver: 1 });
    await broker.publish('conformance.discard', 1, confirmed);
    const letters = broker.deadLetters('conformance.discard');
    for (let tries = 0; (await letters.list()).length === 0 && tries < 200; tries++) await clock.sleep(20);
    assert.equal(await letters.discard(), 1);
    assert.deepEqual(await letters.list(), []);
  },

  'hands a slow subscriber no more than its concurrency, and leaves the rest to others': async ({
    broker,
    another,
  }) => {
    let stuck = 0;
    const got: unknown[] = [];
    await broker.subscribe('conformance.slow', () => (stuck++, never()), { ...stored, concurrency: 2 });
    for (const n of numbers(10)) await broker.publish('conformance.slow', n, confirmed);
    await eventually(() => stuck === 2, 'the slow subscriber got nothing');
    const other = await another!();
    await other.subscribe('conformance.slow', (n) => void got.push(n), { ...stored, concurrency: 2 });
    await eventually(() => got.length === 8, 'messages are stuck behind the slow subscriber');
    assert.equal(stuck, 2);
  },

  'hands back what had not begun when it drains': async ({ broker, another }) => {
    const gate = Promise.withResolvers<void>();
    const here: unknown[] = [];
    const there: unknown[] = [];
    const handler = async (n: unknown): Promise<void> => {
      await gate.promise;
      here.push(n);
    };
    await broker.subscribe('conformance.back', handler, { ...stored, concurrency: 1 });
    for (const n of numbers(5)) await broker.publish('conformance.back', n, confirmed);
    await clock.sleep(50);
    const other = await another!();
    const drained = broker.drain({ deadlineAt: clock.now() + 5_000 });
    await other.subscribe('conformance.back', (n) => void there.push(n), stored);
    gate.resolve();
    assert.deepEqual((await drained).abandoned, []);
    await eventually(() => here.length + there.length >= 5, 'messages are missing');
    await clock.sleep(50);
    assert.deepEqual(sorted([...here, ...there]), numbers(5));
  },

  'stores a repeated message id once': async ({ broker }) => {
    const got: unknown[] = [];
    await broker.subscribe('conformance.repeat', (n) => void got.push(n), { ...stored, dedupe: true });
    await broker.publish('conformance.repeat', 1, { ...confirmed, id: 'r-1' });
    await broker.publish('conformance.repeat', 1, { ...confirmed, id: 'r-1' });
    await eventually(() => got.length > 0, 'the message is missing');
    await clock.sleep(50);
    assert.equal(got.length, 1);
  },
};

/** Another payload with the headers of a message that carried bytes. */
async function passOn(broker: MessageBroker, { headers }: Message): Promise<unknown[]> {
  const got: unknown[] = [];
  await broker.subscribe('conformance.json', (payload) => void got.push(payload), stored);
  await broker.publish('conformance.json', { n: 1 }, { ...confirmed, headers });
  await eventually(() => got.length > 0, 'the message that was passed on is missing');
  return got;
}
