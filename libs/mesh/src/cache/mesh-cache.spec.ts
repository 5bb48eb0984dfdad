import { describe, expect, it } from 'vitest';
import { CallContexts } from '../core/call-context.js';
import { SystemIds } from '../core/ids.js';
import { fixedOptions } from '../core/live-options.js';
import { MeshEvents } from '../core/mesh.events.js';
import { metricsSchema } from '../metrics/metrics.options.js';
import { PrometheusMetrics } from '../metrics/prometheus.metrics.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { cacheSchema } from './cache.options.js';
import { MeshCache } from './mesh-cache.js';

class NoJitter extends SystemIds {
  override random(): number {
    return 0;
  }
}

function setUp(options: Record<string, unknown> = {}) {
  const clock = new VirtualClock();
  const contexts = new CallContexts();
  const events = new MeshEvents();
  const metrics = new PrometheusMetrics(fixedOptions(metricsSchema.parse({})), events);
  const cache = new MeshCache(fixedOptions(cacheSchema.parse(options)), {
    clock,
    contexts,
    metrics,
    ids: new NoJitter(),
    events,
  });
  return { cache, clock, contexts, metrics };
}

/** A factory whose runs are settled by hand, in any order. */
function controlled<T>() {
  const runs: PromiseWithResolvers<T>[] = [];
  const factory = (): Promise<T> => {
    const run = Promise.withResolvers<T>();
    runs.push(run);
    return run.promise;
  };
  return { runs, factory };
}

const failing = async (): Promise<never> => {
  throw new Error('database down');
};

describe('getOrSet', () => {
  it('runs the factory once and then answers from memory', async () => {
    const { cache } = setUp();
    let runs = 0;
    const load = () => cache.getOrSet('k', () => ++runs);
    expect([await load(), await load(), await load()]).toEqual([1, 1, 1]);
    expect(cache.stats()).toMatchObject({ hits: 2, misses: 1, loads: 1, entries: 1 });
  });

  it('runs the factory once for 10,000 concurrent callers of one cold key', async () => {
    const { cache } = setUp();
    let runs = 0;
    const load = () => cache.getOrSet('k', async () => ++runs);
    const values = await Promise.all(Array.from({ length: 10_000 }, load));
    expect(new Set(values)).toEqual(new Set([1]));
    expect(runs).toBe(1);
    expect(cache.stats().coalesced).toBe(9_999);
  });

  it('shares one failure among all concurrent callers and keeps nothing', async () => {
    const { cache } = setUp();
    let runs = 0;
    const load = () =>
      cache.getOrSet('k', async () => {
        runs++;
        throw new Error('database down');
      });
    const outcomes = await Promise.allSettled(Array.from({ length: 100 }, load));
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true);
    expect(runs).toBe(1);
    expect(await cache.getOrSet('k', () => 'fine')).toBe('fine');
  });

  it('keeps null for at most nullTtlMs and never keeps undefined', async () => {
    const { cache, clock } = setUp({ ttlMs: 60_000, nullTtlMs: 5_000, graceMs: 0 });
    let runs = 0;
    const none = () => (runs++, null);
    expect(await cache.getOrSet('n', none)).toBeNull();
    await clock.advance(3_000);
    expect(await cache.getOrSet('n', none)).toBeNull();
    expect(runs).toBe(1);
    await clock.advance(2_000);
    await cache.getOrSet('n', none);
    expect(runs).toBe(2);

    const nothing = () => void runs++;
    await cache.getOrSet('u', nothing);
    await cache.getOrSet('u', nothing);
    expect(runs).toBe(4);
    expect(await cache.entry('u')).toEqual({ found: false });
    expect(await cache.entry('n')).toMatchObject({ found: true, value: null });
  });

  it('loads again after the ttl', async () => {
    const { cache, clock } = setUp({ ttlMs: 1_000, graceMs: 0, eagerRatio: 1 });
    let runs = 0;
    const load = () => cache.getOrSet('k', () => ++runs);
    await load();
    await clock.advance(999);
    expect(await load()).toBe(1);
    await clock.advance(1);
    expect(await load()).toBe(2);
  });

  it('keeps its word when the machine clock is set back', async () => {
    const { cache, clock } = setUp({ ttlMs: 1_000, graceMs: 0 });
    await cache.getOrSet('k', () => 1);
    clock.jump(-3_600_000);
    await clock.advance(1_000);
    expect(await cache.get('k')).toBeUndefined();
  });

  it('bypasses the cache on request, without reading or storing', async () => {
    const { cache } = setUp();
    await cache.set('k', 'cached');
    expect(await cache.getOrSet('k', () => 'own', { mode: 'bypass' })).toBe('own');
    expect(await cache.get('k')).toBe('cached');
  });

  it('refreshes on request, and the older load that still runs does not win', async () => {
    const { cache } = setUp();
    const { runs, factory } = controlled<string>();
    const early = cache.getOrSet('k', factory);
    const forced = cache.getOrSet('k', factory, { mode: 'refresh' });
    runs[1]!.resolve('new');
    expect(await forced).toBe('new');
    runs[0]!.resolve('old');
    expect(await early).toBe('old');
    expect(await cache.get('k')).toBe('new');
  });

  it.each([
    ['', 'an empty one'],
    [undefined, 'undefined'],
  ])('refuses the key %o', async (key, found) => {
    const { cache } = setUp();
    await expect(cache.getOrSet(key as string, () => 1)).rejects.toMatchObject({
      code: 'MESH_CACHE_USAGE',
      message: expect.stringContaining(found),
    });
  });

  it.each([0, -1, Number.NaN, Infinity])('refuses a ttl of %d', async (ttlMs) => {
    const { cache } = setUp();
    await expect(cache.set('k', 1, { ttlMs })).rejects.toThrow("at least 1 ms, or 'forever'");
  });
});

describe('a load', () => {
  it('is given up at the hard timeout for everybody, frees its key and aborts its signal', async () => {
    const { cache, clock } = setUp({ hardTimeoutMs: 500 });
    let signal: AbortSignal | undefined;
    const hung = () => cache.getOrSet('k', (context) => ((signal = context.signal), new Promise(() => undefined)));
    const first = hung();
    await clock.advance(300);
    const second = hung();
    const outcomes = Promise.allSettled([first, second]);
    await clock.advance(200);
    for (const outcome of await outcomes)
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: { code: 'MESH_CACHE_LOAD_TIMEOUT', retryable: true },
      });
    expect(signal!.aborted).toBe(true);
    expect(await cache.getOrSet('k', () => 'again')).toBe('again');
    expect(clock.pendingTimers).toBe(0);
  });

  it('lets each caller go at its own deadline and goes on for the others', async () => {
    const { cache, clock, contexts } = setUp();
    const { runs, factory } = controlled<string>();
    const hurried = contexts.run({ correlationId: 'a', deadlineAt: clock.now() + 200 }, () =>
      cache.getOrSet('k', factory),
    );
    const patient = cache.getOrSet('k', factory);
    const gaveUp = expect(hurried).rejects.toMatchObject({
      code: 'MESH_CACHE_LOAD_TIMEOUT',
      details: { limit: 'caller' },
    });
    await clock.advance(200);
    await gaveUp;
    runs[0]!.resolve('value');
    expect(await patient).toBe('value');
    expect(runs).toHaveLength(1);
  });

  it('is not bound by the deadline of the caller who began it', async () => {
    const { cache, clock, contexts } = setUp({ hardTimeoutMs: 5_000 });
    let deadlineAt: number | undefined;
    await contexts.run({ correlationId: 'a', deadlineAt: clock.now() + 200 }, () =>
      cache.getOrSet('k', () => (deadlineAt = contexts.current()?.deadlineAt)),
    );
    expect(deadlineAt).toBe(clock.now() + 5_000);
  });

  it('is aborted when the last caller leaves', async () => {
    const { cache, clock } = setUp();
    const caller = new AbortController();
    let signal: AbortSignal | undefined;
    const call = cache.getOrSet('k', (context) => ((signal = context.signal), new Promise(() => undefined)), {
      signal: caller.signal,
    });
    caller.abort(new Error('gone'));
    await expect(call).rejects.toThrow('gone');
    expect(signal!.aborted).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });

  it('decides on ttl, tags and keeping from inside', async () => {
    const { cache, clock } = setUp({ graceMs: 0 });
    await cache.getOrSet('short', ({ ttl }) => (ttl(1_000), 1));
    await cache.getOrSet('tagged', ({ tags }) => (tags('a', 'b'), 1));
    await cache.getOrSet('skipped', ({ skip }) => (skip(), 1));
    expect(await cache.get('skipped')).toBeUndefined();
    await clock.advance(1_000);
    expect(await cache.get('short')).toBeUndefined();
    expect(await cache.get('tagged')).toBe(1);
    await cache.deleteByTag('b');
    expect(await cache.get('tagged')).toBeUndefined();
  });

  it('may fail on purpose and may say that nothing changed', async () => {
    const { cache, clock } = setUp({ ttlMs: 1_000 });
    await expect(cache.getOrSet('k', ({ fail }) => fail('no rate yet'))).rejects.toMatchObject({
      code: 'MESH_CACHE_LOAD_FAILED',
      message: expect.stringContaining('no rate yet'),
    });
    await expect(cache.getOrSet('k', ({ notModified }) => notModified())).rejects.toThrow('context.stale first');
    await cache.set('k', 'v1');
    await clock.advance(1_500);
    let seen: unknown;
    expect(await cache.getOrSet('k', ({ stale, notModified }) => ((seen = stale), notModified()))).toBe('v1');
    expect(seen).toEqual({ value: 'v1', ageMs: 1_500 });
    expect(await cache.entry('k')).toMatchObject({ state: 'fresh', ageMs: 0 });
  });
});

describe('a stale value', () => {
  it('is served when the load fails, and the factory rests for throttleMs', async () => {
    const { cache, clock } = setUp({ ttlMs: 1_000, throttleMs: 10_000 });
    await cache.set('k', 'old');
    await clock.advance(1_000);
    let runs = 0;
    const load = () => cache.getOrSet('k', () => (runs++, failing()));
    expect(await load()).toBe('old');
    await clock.advance(9_999);
    expect(await load()).toBe('old');
    expect(runs).toBe(1);
    await clock.advance(1);
    await load();
    expect(runs).toBe(2);
  });

  it('is served after softTimeoutMs, and the value that comes later is kept', async () => {
    const { cache, clock } = setUp({ ttlMs: 1_000, softTimeoutMs: 100 });
    await cache.set('k', 'old');
    await clock.advance(1_000);
    const { runs, factory } = controlled<string>();
    const served = cache.getOrSet('k', factory);
    await clock.advance(100);
    expect(await served).toBe('old');
    runs[0]!.resolve('new');
    await clock.advance(0);
    expect(await cache.get('k')).toBe('new');
    expect(clock.pendingTimers).toBe(0);
  });

  it('is served at once with a softTimeoutMs of 0', async () => {
    const { cache, clock } = setUp({ ttlMs: 1_000 });
    await cache.set('k', 'old');
    await clock.advance(1_000);
    expect(await cache.getOrSet('k', () => 'new', { softTimeoutMs: 0 })).toBe('old');
    await clock.advance(0);
    expect(await cache.get('k')).toBe('new');
  });

  it('is given up after graceMs', async () => {
    const { cache, clock } = setUp({ ttlMs: 1_000, graceMs: 5_000 });
    await cache.set('k', 'old');
    await clock.advance(6_000);
    await expect(cache.getOrSet('k', failing)).rejects.toThrow('database down');
    expect(cache.stats().entries).toBe(0);
  });

  it('is renewed in the background before it expires, once for all readers, and not again soon after a failure', async () => {
    const { cache, clock } = setUp({ ttlMs: 60_000, eagerRatio: 0.5, throttleMs: 10_000 });
    await cache.set('k', 'old');
    await clock.advance(30_000);
    const { runs, factory } = controlled<string>();
    expect(await Promise.all([1, 2, 3].map(() => cache.getOrSet('k', factory)))).toEqual(['old', 'old', 'old']);
    expect(runs).toHaveLength(1);
    runs[0]!.reject(new Error('database down'));
    await clock.advance(9_999);
    await cache.getOrSet('k', factory);
    expect(runs).toHaveLength(1);
    await clock.advance(1);
    await cache.getOrSet('k', factory);
    runs[1]!.resolve('new');
    await clock.advance(0);
    expect(await cache.get('k')).toBe('new');
  });

  it('is what expire() leaves', async () => {
    const { cache } = setUp();
    await cache.set('k', 'old');
    expect(await cache.expire('k')).toBe(true);
    expect(await cache.get('k')).toBeUndefined();
    expect(await cache.entry('k')).toMatchObject({ found: true, state: 'stale', value: 'old' });
    expect(await cache.getOrSet('k', failing)).toBe('old');
  });

  it('is not renewed any more when the application stops, and the load that did so is aborted', async () => {
    const { cache, clock } = setUp({ ttlMs: 60_000, eagerRatio: 0.5 });
    await cache.set('k', 'old');
    await clock.advance(30_000);
    let signal: AbortSignal | undefined;
    await cache.getOrSet('k', (context) => ((signal = context.signal), new Promise(() => undefined)));
    await cache.stop();
    expect(signal!.aborted).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });

  it('starts no load once the application drains', async () => {
    const { cache, clock } = setUp({ ttlMs: 1_000 });
    await cache.set('k', 'old');
    await clock.advance(1_000);
    await cache.drain();
    let runs = 0;
    expect(await cache.getOrSet('k', () => ++runs)).toBe('old');
    expect(runs).toBe(0);
    expect(await cache.getOrSet('cold', () => 'from the factory')).toBe('from the factory');
  });
});

describe('deleting', () => {
  it.each([
    ['delete', (cache: MeshCache) => cache.delete('k')],
    ['expire', (cache: MeshCache) => cache.expire('k')],
    ['deleteByTag', (cache: MeshCache) => cache.deleteByTag('t')],
    ['clear', (cache: MeshCache) => cache.clear()],
  ])(
    '%s during a load: the old value reaches those who waited, nobody later, and is not kept',
    async (_, invalidate) => {
      const { cache } = setUp();
      const { runs, factory } = controlled<string>();
      const load = () => cache.getOrSet('k', factory, { tags: ['t'] });
      const before = load();
      await invalidate(cache);
      const after = load();
      runs[0]!.resolve('old');
      expect(await before).toBe('old');
      await Promise.resolve();
      runs.at(-1)!.resolve('new');
      await new Promise(setImmediate);
      runs.at(-1)!.resolve('new');
      expect(await after).toBe('new');
      expect(await cache.get('k')).toBe('new');
    },
  );

  it('a tag that only the running factory knows still keeps its old value from later callers', async () => {
    const { cache } = setUp();
    const gate = Promise.withResolvers<void>();
    let source = 'old';
    const load = () =>
      cache.getOrSet('k', async ({ tags }) => {
        const read = source;
        await gate.promise;
        tags('t');
        return read;
      });
    const before = load();
    source = 'new';
    await cache.deleteByTag('t');
    const after = load();
    gate.resolve();
    expect(await before).toBe('old');
    expect(await after).toBe('new');
    expect(await cache.get('k')).toBe('new');
  });

  it('a set during a load wins over the load', async () => {
    const { cache } = setUp();
    const { runs, factory } = controlled<string>();
    const loading = cache.getOrSet('k', factory);
    await cache.set('k', 'set');
    runs[0]!.resolve('loaded');
    expect(await loading).toBe('loaded');
    expect(await cache.get('k')).toBe('set');
  });

  it('says what was there', async () => {
    const { cache } = setUp();
    await cache.setMany([
      ['a', 1],
      ['b', 2],
    ]);
    expect(await cache.getMany(['a', 'b', 'c'])).toEqual(new Map(Object.entries({ a: 1, b: 2 })));
    expect(await cache.delete('a')).toBe(true);
    expect(await cache.delete('a')).toBe(false);
    expect(await cache.deleteMany(['a', 'b', 'c'])).toBe(1);
  });
});

describe('namespaces', () => {
  it('keep keys, tags, clear() and numbers apart and share the bounds', async () => {
    const { cache } = setUp({ maxEntries: 2 });
    const rates = cache.namespace('rates', { ttlMs: 1_000 });
    const users = cache.namespace('users');
    await rates.set('k', 'rate', { tags: ['t'] });
    await users.set('k', 'user', { tags: ['t'] });
    await rates.deleteByTag('t');
    expect([await rates.get('k'), await users.get('k'), await cache.get('k')]).toEqual([undefined, 'user', undefined]);
    await rates.clear();
    expect(await users.get('k')).toBe('user');
    await rates.set('x', 1);
    await cache.set('x', 1);
    expect(users.stats().evictions).toBe(1);
  });

  it('are the same for the same name, and refuse other defaults', () => {
    const { cache } = setUp();
    const rates = cache.namespace('rates', { ttlMs: 1_000 });
    expect(cache.namespace('rates')).toBe(rates);
    expect(() => cache.namespace('rates', { ttlMs: 2_000 })).toThrow('already exists with other defaults');
  });

  it('take their defaults from the configuration first', async () => {
    const { cache, clock } = setUp({ graceMs: 0, namespaces: { rates: { ttlMs: 5_000 } } });
    const rates = cache.namespace('rates', { ttlMs: 1_000 });
    await rates.set('k', 1);
    await clock.advance(4_999);
    expect(await rates.get('k')).toBe(1);
    await clock.advance(1);
    expect(await rates.get('k')).toBeUndefined();
  });
});

describe('memory', () => {
  it('drops the least recently used value first', async () => {
    const { cache } = setUp({ maxEntries: 2 });
    await cache.set('a', 1);
    await cache.set('b', 2);
    await cache.get('a');
    await cache.set('c', 3);
    expect(await cache.getMany(['a', 'b', 'c'])).toEqual(new Map(Object.entries({ a: 1, c: 3 })));
  });

  it('stays within its bytes and does not keep a value that is larger than all of them', async () => {
    const { cache } = setUp({ maxBytes: 10_240 });
    for (let i = 0; i < 100; i++) await cache.set(`k${i}`, 'x'.repeat(1_000));
    expect(cache.stats().bytes).toBeLessThanOrEqual(10_240);
    expect(cache.stats().entries).toBeGreaterThan(5);
    await cache.set('huge', Buffer.alloc(20_000));
    expect(await cache.get('huge')).toBeUndefined();
  });

  it('is swept of expired values, and its timer is gone after stop', async () => {
    const { cache, clock } = setUp({ ttlMs: 1_000, graceMs: 1_000, sweepMs: 30_000 });
    await cache.start();
    for (let i = 0; i < 1_000; i++) await cache.set(`k${i}`, i);
    await clock.advance(30_000);
    expect(cache.stats()).toMatchObject({ entries: 0, bytes: 0, evictions: 1_000 });
    await cache.stop();
    await cache.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  it('goes out as metrics by the name of the cache', async () => {
    const { cache, metrics } = setUp();
    await cache.start();
    await cache.namespace('rates').getOrSet('k', () => 1);
    await cache.namespace('rates').getOrSet('k', () => 1);
    const { body } = await metrics.expose();
    expect(body).toMatch(/mesh_cache_requests_total\{.*cache="rates".*result="hit".*\} 1/);
    expect(body).toMatch(/mesh_cache_loads_total\{.*cache="rates".*result="ok".*\} 1/);
    expect(body).toMatch(/mesh_cache_entries 1/);
    await cache.stop();
  });
});
