import assert from 'node:assert/strict';
import { clock, eventually, numbers, sorted, type Rule } from './broker-under-test.js';

/** Rules of brokers that share a server with other instances. */
export const instanceRules: Readonly<Record<string, Rule>> = {
  'shares the messages of a handler among the instances of its service': async ({ broker, another }) => {
    const got: unknown[] = [];
    for (const instance of [broker, await another!()])
      await instance.subscribe('conformance.shared', (n) => void got.push(n), { name: 'worker' });
    for (const n of numbers(50)) await broker.publish('conformance.shared', n);
    await eventually(() => got.length >= 50, 'messages are missing');
    await clock.sleep(50);
    assert.deepEqual(sorted(got), numbers(50));
  },

  'reaches every instance with `group: false`': async ({ broker, another }) => {
    const got: string[] = [];
    for (const [name, instance] of Object.entries({ a: broker, b: await another!() }))
      await instance.subscribe('conformance.all', () => void got.push(name), { name: 'listener', group: false });
    await broker.publish('conformance.all', 1);
    await eventually(() => got.length >= 2, 'an instance got nothing');
    assert.deepEqual(got.sort(), ['a', 'b']);
  },

  'answers the callers in other instances before it is gone': async ({ broker, another }) => {
    const caller = await another!();
    const begun = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<string>();
    broker.serve('conformance.leaving', () => (begun.resolve(), gate.promise));
    await caller.waitFor(['conformance.leaving']);
    const answer = caller.request('conformance.leaving');
    await begun.promise;
    const drained = broker.drain({ deadlineAt: clock.now() + 5_000 });
    gate.resolve('finished');
    assert.equal(await answer, 'finished');
    await drained;
  },

  'fails no call while instances come and go': async ({ broker, another }) => {
    const serving = [await another!(), await another!(), await another!()];
    for (const instance of serving) instance.serve('conformance.rolling', (n: number) => clock.sleep(1).then(() => n));
    await broker.waitFor(['conformance.rolling']);
    let over = false;
    let calls = 0;
    const load = async (): Promise<void> => {
      while (!over) {
        const n = calls++;
        assert.equal(await broker.request<number>('conformance.rolling', n), n);
      }
    };
    const callers = Promise.all([load(), load(), load(), load()]);
    for (const leaving of serving) {
      const next = await another!();
      next.serve('conformance.rolling', (n: number) => clock.sleep(1).then(() => n));
      await next.waitFor(['conformance.rolling']);
      await clock.sleep(20);
      await leaving.drain({ deadlineAt: clock.now() + 5_000 });
    }
    over = true;
    await callers;
    assert.ok(calls > 20, `only ${calls} calls were made`);
  },
};
