import assert from 'node:assert/strict';
import type { CacheClient, CacheFactory } from '../core/cache.port.js';
import { isMeshError } from '../core/mesh.error.js';
import { casesOf, clock, type ConformanceCase, eventually } from './conformance-case.js';

/** One cache of the kind under test, empty and started. */
export interface CacheUnderTest {
  readonly cache: CacheClient;
  /** Another instance that shares a second tier with the first; absent where nothing is shared. */
  readonly peer?: CacheClient;
  close(): Promise<void> | void;
}

type Rule = (subject: CacheUnderTest) => Promise<void>;

const failing: CacheFactory<never> = () => Promise.reject(new Error('database down'));

const loading: Readonly<Record<string, Rule>> = {
  'runs the factory once and answers from the cache afterwards': async ({ cache }) => {
    const load = counting(cache, 'k');
    assert.deepEqual([await load(), await load(), await load()], [1, 1, 1]);
    assert.deepEqual(await cache.get('k'), 1);
  },

  'runs the factory once for callers of the same moment': async ({ cache }) => {
    const load = counting(cache, 'k', 5);
    const values = await Promise.all(Array.from({ length: 1_000 }, load));
    assert.deepEqual(new Set(values), new Set([1]));
  },

  'shares one failure among callers of the same moment, and keeps nothing of it': async ({ cache }) => {
    let runs = 0;
    const load = (): Promise<unknown> =>
      cache.getOrSet('k', async () => {
        runs++;
        await clock.sleep(5);
        throw new Error('database down');
      });
    const outcomes = await Promise.allSettled(Array.from({ length: 100 }, load));
    assert.ok(outcomes.every(({ status }) => status === 'rejected'));
    assert.equal(runs, 1);
    assert.equal(await cache.getOrSet('k', () => 'fine'), 'fine');
  },

  'hands undefined on without keeping it, and keeps null': async ({ cache }) => {
    let runs = 0;
    for (let i = 0; i < 2; i++) assert.equal(await cache.getOrSet('undefined', () => void runs++), undefined);
    assert.equal(runs, 2);
    for (let i = 0; i < 2; i++) assert.equal(await cache.getOrSet('null', () => (runs++, null)), null);
    assert.equal(runs, 3);
    assert.equal(await cache.get('null'), null);
    assert.deepEqual(await cache.entry('undefined'), { found: false });
  },

  'gives a hung factory up for everybody who waits, and frees its key': async ({ cache }) => {
    let signal: AbortSignal | undefined;
    const hung = (): Promise<unknown> =>
      cache.getOrSet('k', (context) => ((signal = context.signal), new Promise(() => undefined)), {
        hardTimeoutMs: 50,
      });
    const outcomes = await Promise.allSettled([hung(), hung()]);
    for (const outcome of outcomes)
      assert.ok(outcome.status === 'rejected' && isMeshError(outcome.reason, 'MESH_CACHE_LOAD_TIMEOUT'));
    assert.ok(signal?.aborted, 'the factory was not told');
    assert.equal(await cache.getOrSet('k', () => 'fine'), 'fine');
  },

  'lets a caller go at its own signal, and the load goes on for the others': async ({ cache }) => {
    const slow = Promise.withResolvers<string>();
    const caller = new AbortController();
    const leaving = cache.getOrSet('k', () => slow.promise, { signal: caller.signal });
    const staying = cache.getOrSet('k', () => 'not run');
    caller.abort(new Error('changed my mind'));
    await assert.rejects(leaving, /changed my mind/);
    slow.resolve('loaded');
    assert.equal(await staying, 'loaded');
  },

  'leaves the cache alone in the mode bypass, and loads anew in the mode refresh': async ({ cache }) => {
    await cache.set('k', 'kept');
    assert.equal(await cache.getOrSet('k', () => 'bypassing', { mode: 'bypass' }), 'bypassing');
    assert.equal(await cache.get('k'), 'kept');
    assert.equal(await cache.getOrSet('k', () => 'new', { mode: 'refresh' }), 'new');
    assert.equal(await cache.get('k'), 'new');
  },

  'lets the factory decide on ttl, tags and keeping': async ({ cache }) => {
    await cache.getOrSet('short', ({ ttl }) => (ttl(20), 1), { graceMs: 0 });
    await cache.getOrSet('tagged', ({ tags }) => (tags('t'), 1));
    await cache.getOrSet('skipped', ({ skip }) => (skip(), 1));
    assert.equal(await cache.get('skipped'), undefined);
    await cache.deleteByTag('t');
    assert.equal(await cache.get('tagged'), undefined);
    await clock.sleep(40);
    assert.equal(await cache.get('short'), undefined);
  },

  'lets the factory fail on purpose, and keep what it has': async ({ cache }) => {
    const reject = cache.getOrSet('none', ({ fail }) => fail('no rates today'));
    await assert.rejects(reject, (error) => isMeshError(error, 'MESH_CACHE_LOAD_FAILED'));
    await cache.set('k', 'kept');
    await cache.expire('k');
    const same = cache.getOrSet<string>('k', ({ stale, notModified }) => {
      assert.equal(stale?.value, 'kept');
      return notModified();
    });
    assert.equal(await same, 'kept');
    assert.equal(await cache.get('k'), 'kept');
  },
};

const staleness: Readonly<Record<string, Rule>> = {
  'keeps a value for its ttl': async ({ cache }) => {
    await cache.set('k', 1, { ttlMs: 30, graceMs: 0 });
    assert.equal(await cache.get('k'), 1);
    await clock.sleep(50);
    assert.equal(await cache.get('k'), undefined);
    assert.equal(await cache.getOrSet('k', () => 2), 2);
  },

  'goes by the defaults of a call where nobody else says something': async ({ cache }) => {
    await cache.getOrSet('defaulted', () => 1, { defaults: { ttlMs: 20, graceMs: 0 } });
    await cache.getOrSet('own', () => 1, { ttlMs: 60_000, defaults: { ttlMs: 20, graceMs: 0 } });
    await clock.sleep(40);
    assert.equal(await cache.get('defaulted'), undefined);
    assert.equal(await cache.get('own'), 1);
  },

  'serves an expired value when the factory fails': async ({ cache }) => {
    await cache.set('k', 'old');
    assert.equal(await cache.expire('k'), true);
    assert.equal(await cache.get('k'), undefined);
    const lookup = await cache.entry('k');
    assert.ok(lookup.found && lookup.state === 'stale' && lookup.value === 'old');
    assert.equal(await cache.getOrSet('k', failing), 'old');
    await assert.rejects(cache.getOrSet('other', failing), /database down/);
  },

  'serves an expired value while the factory is slow, and its value afterwards': async ({ cache }) => {
    await cache.set('k', 'old');
    await cache.expire('k');
    const slow = Promise.withResolvers<string>();
    assert.equal(await cache.getOrSet('k', () => slow.promise, { softTimeoutMs: 0 }), 'old');
    slow.resolve('new');
    await eventually(async () => (await cache.get('k')) === 'new', 'the new value was not kept');
  },

  'keeps no expired value with a graceMs of 0': async ({ cache }) => {
    await cache.set('k', 'old', { ttlMs: 20, graceMs: 0 });
    await clock.sleep(40);
    await assert.rejects(cache.getOrSet('k', failing), /database down/);
  },
};

const writing: Readonly<Record<string, Rule>> = {
  'writes, reads and deletes many at once': async ({ cache }) => {
    await cache.setMany([
      ['a', 1],
      ['b', null],
    ]);
    assert.deepEqual(
      await cache.getMany(['a', 'b', 'c']),
      new Map([
        ['a', 1],
        ['b', null],
      ]),
    );
    assert.equal(await cache.deleteMany(['a', 'b', 'c']), 2);
    assert.equal((await cache.getMany(['a', 'b'])).size, 0);
  },

  'keeps types that JSON does not have': async ({ cache, peer = cache }) => {
    const value = { at: new Date(1), tags: new Set(['x']), of: new Map([[1, -0]]), big: 10n, bytes: Buffer.from('x') };
    await cache.set('k', value);
    await eventually(async () => (await peer.get('k')) !== undefined, 'the value did not arrive');
    assert.deepStrictEqual(await peer.get('k'), value);
  },

  'says what a delete found': async ({ cache }) => {
    await cache.set('k', 1);
    assert.equal(await cache.delete('k'), true);
    assert.equal(await cache.delete('k'), false);
    assert.equal(await cache.expire('k'), false);
  },

  'deletes by tag what carries it, and nothing else': async ({ cache }) => {
    await cache.set('a', 1, { tags: ['x', 'y'] });
    await cache.set('b', 2, { tags: ['y'] });
    await cache.set('c', 3);
    await cache.deleteByTag('x');
    assert.deepEqual([await cache.get('a'), await cache.get('b'), await cache.get('c')], [undefined, 2, 3]);
    await cache.set('a', 4, { tags: ['x'] });
    assert.equal(await cache.get('a'), 4);
  },

  'never lets a load that began before a deletion bring the old value back': async ({ cache }) => {
    const deletions: Readonly<Record<string, () => Promise<unknown>>> = {
      delete: () => cache.delete('k'),
      expire: () => cache.expire('k'),
      deleteByTag: () => cache.deleteByTag('t'),
      clear: () => cache.clear(),
      set: () => cache.set('k', 'new'),
    };
    for (const [name, deletion] of Object.entries(deletions)) {
      await cache.clear();
      const slow = Promise.withResolvers<string>();
      const waiting = cache.getOrSet('k', () => slow.promise, { tags: ['t'] });
      await clock.sleep(5);
      await deletion();
      slow.resolve('old');
      assert.equal(await waiting, 'old', `${name}: who waited already gets what was loaded`);
      assert.equal(await cache.getOrSet('k', () => 'new', { tags: ['t'] }), 'new', name);
    }
  },

  'keeps namespaces apart, and gives the same one for the same name': async ({ cache }) => {
    const part = cache.namespace('part');
    await cache.set('k', 'whole', { tags: ['t'] });
    await part.set('k', 'part', { tags: ['t'] });
    await part.deleteByTag('t');
    assert.equal(await part.get('k'), undefined);
    assert.equal(await cache.get('k'), 'whole');
    await part.set('k', 'part');
    assert.equal(await cache.namespace('part').get('k'), 'part');
    await part.clear();
    assert.equal(await part.get('k'), undefined);
    assert.equal(await cache.get('k'), 'whole');
    await part.set('k', 'part');
    await cache.clear();
    assert.equal(await part.get('k'), 'part');
  },

  'gives a namespace defaults of its own': async ({ cache }) => {
    const part = cache.namespace('short', { ttlMs: 20, graceMs: 0 });
    await part.set('k', 1);
    await cache.set('k', 1);
    await clock.sleep(40);
    assert.deepEqual([await part.get('k'), await cache.get('k')], [undefined, 1]);
  },

  'refuses what makes no sense': async ({ cache }) => {
    const senseless: readonly (() => unknown)[] = [
      () => cache.set('', 1),
      () => cache.get(''),
      () => cache.getOrSet('', () => 1),
      () => cache.set('k', undefined),
      () => cache.set('k', 1, { ttlMs: 0 }),
      () => cache.set('k', 1, { ttlMs: Number.NaN }),
      () => cache.set('k', 1, { tags: [''] }),
      () => cache.namespace(''),
    ];
    for (const call of senseless)
      await assert.rejects(
        async () => call(),
        (error) => isMeshError(error),
        `${call} was taken`,
      );
  },

  'counts what it does': async ({ cache }) => {
    const part = cache.namespace('counted');
    await part.getOrSet('k', () => 1);
    await part.getOrSet('k', () => 1);
    await assert.rejects(part.getOrSet('other', failing));
    const { hits, misses, loads, loadFailures, entries, bytes } = part.stats();
    assert.deepEqual(
      { hits, misses, loads, loadFailures, entries },
      { hits: 1, misses: 2, loads: 2, loadFailures: 1, entries: 1 },
    );
    assert.ok(bytes > 0);
  },
};

const sharing: Readonly<Record<string, Rule>> = {
  'hands a value to an instance that shares the second tier': async ({ cache, peer }) => {
    if (!peer) return;
    await cache.getOrSet('k', () => 'loaded', { tags: ['t'] });
    await eventually(async () => (await peer.get('k')) === 'loaded', 'the value did not arrive');
    assert.equal(await peer.getOrSet('k', failing), 'loaded');
  },

  'gives an instance that has not read a value no value that was deleted': async ({ cache, peer }) => {
    if (!peer) return;
    const part = cache.namespace('part');
    for (const key of ['deleted', 'tagged', 'last']) await cache.set(key, 'old', { tags: [key] });
    await part.set('cleared', 'old');
    await cache.delete('deleted');
    await cache.deleteByTag('tagged');
    await part.clear();
    await cache.set('written last', 1);
    await eventually(async () => (await peer.get('written last')) === 1, 'the second tier is not written');
    assert.equal(await peer.get('deleted'), undefined);
    assert.equal(await peer.get('tagged'), undefined);
    assert.equal(await peer.namespace('part').get('cleared'), undefined);
    assert.equal(await peer.get('last'), 'old');
  },
};

/**
 * What every cache must do, ours and a user's own. `create` is called once for each case; values must be kept for seconds
 * where a case does not say otherwise. Without a `peer` the rules about what instances share pass.
 *
 * Runs under any test runner: `for (const { name, run } of cacheConformance(create)) it(name, run);`
 */
export function cacheConformance(create: () => Promise<CacheUnderTest> | CacheUnderTest): readonly ConformanceCase[] {
  return casesOf({ ...loading, ...staleness, ...writing, ...sharing }, create);
}

/** A load that answers how often its factory has run. */
function counting(cache: CacheClient, key: string, delayMs?: number): () => Promise<number> {
  let runs = 0;
  return () =>
    cache.getOrSet(key, async () => {
      runs++;
      if (delayMs !== undefined) await clock.sleep(delayMs);
      return runs;
    });
}
