import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { CallContexts } from './call-context.js';

const outer = { correlationId: 'outer' };
const inner = { correlationId: 'inner' };

it('lasts for all that the work starts, and ends where the work returns', async () => {
  const contexts = new CallContexts();
  const later = contexts.run(outer, async () => {
    await nextTurn();
    return contexts.current();
  });
  expect(contexts.current()).toBeUndefined();
  expect(await later).toBe(outer);
  expect(contexts.current()).toBeUndefined();
});

it('gives way to one inside it, and comes back, also when the work throws', () => {
  const contexts = new CallContexts();
  contexts.run(outer, () => {
    const failing = (): never => {
      expect(contexts.current()).toBe(inner);
      throw new Error('no');
    };
    expect(() => contexts.run(inner, failing)).toThrow('no');
    expect(contexts.current()).toBe(outer);
    expect(contexts.exit(() => contexts.current())).toBeUndefined();
  });
});

it('leaves the storages of others as they are, inside and after', async () => {
  const contexts = new CallContexts();
  const theirs = new AsyncLocalStorage<string>();
  await theirs.run('theirs', async () => {
    expect(contexts.run(outer, () => theirs.getStore())).toBe('theirs');
    await contexts.run(outer, () => nextTurn());
    expect(theirs.getStore()).toBe('theirs');
    expect(contexts.current()).toBeUndefined();
  });
});
