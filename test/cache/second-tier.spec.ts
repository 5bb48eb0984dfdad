import { beforeEach, describe, expect, it } from 'vitest';
import type { MeshCache } from '../../libs/mesh/src/cache/mesh-cache.js';
import { SharedMap } from './shared-map.fixture.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

let shared: SharedMap;

beforeEach(() => {
  shared = new SharedMap();
});

/** What an instance that has just started finds. */
async function newcomerReads(key: string): Promise<unknown> {
  const { cache } = await shared.instance();
  const value = await cache.get(key);
  await cache.stop();
  return value;
}

function queuedIn(cache: MeshCache): unknown {
  return cache.readHealth()[0]!.details?.['queued'];
}

describe('a deletion in the second tier', () => {
  it('outlives a value that had longer to live than its mark', async () => {
    const { cache } = await shared.instance();
    await cache.set('k', 'old', { ttlMs: DAY_MS });
    await shared.clock.advance(10);
    await cache.delete('k');
    await shared.clock.advance(2 * HOUR_MS);
    expect(await newcomerReads('k')).toBeUndefined();
  });

  it('outlives a value with a long life that a slow load brings after it', async () => {
    const [a, b] = [await shared.instance(), await shared.instance()];
    const slow = Promise.withResolvers<string>();
    const loading = b.cache.getOrSet('k', () => slow.promise, { ttlMs: DAY_MS });
    await shared.clock.advance(10);
    await a.cache.delete('k');
    await shared.clock.advance(10);
    slow.resolve('old');
    expect(await loading).toBe('old');
    await shared.clock.advance(2 * HOUR_MS);
    expect(await newcomerReads('k')).toBeUndefined();
  });

  it('keeps a value expired for as long as that may live', async () => {
    const { cache } = await shared.instance();
    await cache.set('k', 'old', { ttlMs: DAY_MS });
    await shared.clock.advance(10);
    await cache.expire('k');
    await shared.clock.advance(2 * HOUR_MS);
    expect(await newcomerReads('k')).toBeUndefined();
  });

  it('waits for longer than an hour while the store is away', async () => {
    const [a, b] = [await shared.instance(), await shared.instance()];
    await b.cache.set('k', 'old', { ttlMs: DAY_MS });
    await shared.clock.advance(10);
    a.connection.mode = 'hangs';
    await a.cache.delete('k');
    await shared.clock.advance(2 * HOUR_MS);
    a.connection.mode = 'well';
    await shared.clock.advance(5_000);
    expect(await newcomerReads('k')).toBeUndefined();
  });

  it.each([
    ['key', (cache: MeshCache) => cache.delete('k')],
    ['tag', (cache: MeshCache) => cache.deleteByTag('t')],
    ['namespace', (cache: MeshCache) => cache.clear()],
  ])('of a %s never takes the place of a later one when it was held up', async (_, remove) => {
    const [a, b, c] = [await shared.instance(), await shared.instance(), await shared.instance()];
    a.connection.mode = 'hangs';
    await remove(a.cache);
    await shared.clock.advance(10_000);
    const slow = Promise.withResolvers<string>();
    const loading = c.cache.getOrSet('k', () => slow.promise, { tags: ['t'] });
    await shared.clock.advance(10);
    await remove(b.cache);
    await shared.clock.advance(10);
    a.connection.mode = 'well';
    await shared.clock.advance(5_000);
    slow.resolve('old');
    await loading;
    await shared.clock.advance(10);
    expect(await newcomerReads('k')).toBeUndefined();
  });

  it('that there was no room for becomes one of its namespace, and never an earlier one than clear() made', async () => {
    const [a, b] = [await shared.instance({ secondTier: { maxQueuedEntries: 3 } }), await shared.instance()];
    a.connection.mode = 'hangs';
    const deleted = a.cache.delete('first');
    await shared.clock.advance(10_000);
    await deleted;
    await b.cache.set('k', 'old');
    await b.cache.namespace('n').set('tagged', 'old', { tags: ['t'] });
    await shared.clock.advance(10);
    await a.cache.clear();
    await a.cache.namespace('n').deleteByTag('t');
    for (let i = 0; i < 10; i++) await a.cache.namespace('n').delete(`other ${i}`);
    a.connection.mode = 'well';
    await shared.clock.advance(5_000);
    const c = await shared.instance();
    expect(await c.cache.get('k')).toBeUndefined();
    expect(await c.cache.namespace('n').get('tagged')).toBeUndefined();
  });

  it('that there was no room for holds here before the store has heard of it', async () => {
    const [a, b] = [await shared.instance({ secondTier: { maxQueuedEntries: 3 } }), await shared.instance()];
    await b.cache.set('k', 'old');
    await shared.clock.advance(10);
    const deleted = a.cache.deleteMany(['k', 'l', 'm', 'n']);
    expect(await a.cache.get('k')).toBeUndefined();
    await deleted;
  });
});

describe('more writes than there is room for', () => {
  it('wait for a store that takes them, and all reach it', async () => {
    const options = { secondTier: { maxQueuedEntries: 10 } };
    const [a, b] = [await shared.instance(options), await shared.instance(options)];
    for (let i = 0; i < 50; i++) await a.cache.set(`one ${i}`, i);
    await b.cache.setMany(Array.from({ length: 50 }, (_, i) => [`many ${i}`, i] as const));
    await shared.clock.advance(10);
    const c = await shared.instance();
    const keys = Array.from({ length: 50 }, (_, i) => [`one ${i}`, `many ${i}`]).flat();
    expect((await c.cache.getMany(keys)).size).toBe(100);
  });

  it('fail no call while the store is away, and bring nothing old back', async () => {
    const [a, b] = [await shared.instance(), await shared.instance()];
    await b.cache.set('k', 'old', { ttlMs: DAY_MS });
    await shared.clock.advance(10);
    a.connection.mode = 'hangs';
    await shared.clock.advance(10_000);
    expect(a.states).toEqual(['away']);
    await a.cache.set('k', 'new', { ttlMs: 60_000, graceMs: 0 });
    for (let i = 0; i < 6_000; i++) await a.cache.set(`${i}`, i);
    a.connection.mode = 'well';
    await shared.clock.advance(5_000);
    expect(await newcomerReads('5999')).toBe(5_999);
    expect(await newcomerReads('k')).toBeUndefined();
    await shared.clock.advance(2 * HOUR_MS);
    expect(await newcomerReads('k')).toBeUndefined();
  });
});

describe('a value that was set', () => {
  it('is not replaced by what a load that began earlier elsewhere brings', async () => {
    const [a, b] = [await shared.instance(), await shared.instance()];
    const slow = Promise.withResolvers<string>();
    const loading = a.cache.getOrSet('k', () => slow.promise);
    await shared.clock.advance(10);
    await b.cache.set('k', 'new');
    await shared.clock.advance(10);
    slow.resolve('old');
    await loading;
    await shared.clock.advance(10);
    expect(await newcomerReads('k')).not.toBe('old');
  });

  it('ends the life of the old one even if it can not travel itself', async () => {
    const { cache } = await shared.instance();
    await cache.set('k', 'old', { ttlMs: DAY_MS });
    await shared.clock.advance(10);
    await cache.set('k', () => 'a function');
    await shared.clock.advance(2 * HOUR_MS);
    expect(await newcomerReads('k')).toBeUndefined();
  });

  it('ends the life of the old one even if the store does not take it', async () => {
    const { cache } = await shared.instance();
    await cache.set('k', 'old', { ttlMs: DAY_MS });
    await shared.clock.advance(10);
    shared.maxLength = 1_000;
    await cache.set('k', 'x'.repeat(2_000));
    await shared.clock.advance(2 * HOUR_MS);
    expect(await newcomerReads('k')).toBeUndefined();
  });

  it('is never missing for the others while it takes the place of another', async () => {
    const [a, b] = [await shared.instance(), await shared.instance()];
    await a.cache.set('k', 0);
    await shared.clock.advance(10);
    await a.cache.set('k', 1);
    const seen: unknown[] = [];
    for (let i = 0; i < 50; i++) {
      seen.push(await b.cache.get('k'));
      b.cache.distrustAll();
    }
    expect(seen).not.toContain(undefined);
    expect(seen.at(-1)).toBe(1);
  });
});

describe('a value that the store does not take', () => {
  it('holds up no other write, nor is the store away for it', async () => {
    shared.maxLength = 1_000;
    const { cache, states } = await shared.instance();
    await cache.set('too large', 'x'.repeat(2_000));
    for (let i = 0; i < 200; i++) await cache.set(`k${i}`, i);
    await shared.clock.advance(10);
    expect(queuedIn(cache)).toBe(0);
    expect(await newcomerReads('k199')).toBe(199);
    expect(await cache.get('too large')).toHaveLength(2_000);
    expect(states).toEqual([]);
  });

  it('is given up where it takes none at all, and a deletion waits', async () => {
    const { cache, connection } = await shared.instance();
    await cache.set('k', 'old', { tags: ['t'] });
    await shared.clock.advance(10);
    connection.mode = 'refuses writes';
    await cache.deleteByTag('t');
    await cache.getOrSet('other', () => 1);
    await shared.clock.advance(3_000);
    expect(queuedIn(cache)).toBe(1);
    connection.mode = 'well';
    await shared.clock.advance(5_000);
    expect(await newcomerReads('k')).toBeUndefined();
  });

  it('pushes nothing else out of the queue by its size', async () => {
    const { cache, connection } = await shared.instance({ secondTier: { maxQueuedBytes: 10_000 } });
    connection.mode = 'hangs';
    await shared.clock.advance(5_000);
    await cache.getOrSet('small', () => 'small');
    await cache.getOrSet('huge', () => 'x'.repeat(20_000));
    expect(queuedIn(cache)).toBe(1);
  });
});

describe('a store that hangs', () => {
  it('costs one wait, however many keys are asked for at once', async () => {
    const { cache, connection } = await shared.instance();
    connection.mode = 'hangs';
    let found: ReadonlyMap<string, unknown> | undefined;
    const asking = cache.getMany(Array.from({ length: 1_000 }, (_, i) => `${i}`)).then((values) => (found = values));
    await shared.clock.advance(100);
    expect(found).toEqual(new Map());
    await asking;
  });

  it('is away within two reads, however many were answered before', async () => {
    const { cache, connection, states } = await shared.instance();
    const read = (key: string) => cache.getOrSet(key, () => 'loaded');
    for (let i = 0; i < 1_000; i++) await read(`before ${i}`);
    connection.mode = 'hangs';
    for (let i = 0; i < 40; i++) {
      void read(`during ${i}`);
      await shared.clock.advance(5);
    }
    expect(states).toEqual(['away']);
    const startedAt = shared.clock.monotonic();
    await read('after');
    expect(shared.clock.monotonic()).toBe(startedAt);
    await cache.stop();
  });

  it('is not taken for away by what waited for it at one moment', async () => {
    const { cache, connection, states } = await shared.instance();
    for (let i = 0; i < 100; i++) await cache.getOrSet(`before ${i}`, () => 'loaded');
    connection.mode = 'hangs';
    const late = Array.from({ length: 50 }, (_, i) => cache.getOrSet(`during ${i}`, () => 'loaded'));
    await shared.clock.advance(99);
    connection.mode = 'well';
    await shared.clock.advance(1);
    await Promise.all(late);
    await cache.getOrSet('after', () => 'loaded');
    expect(states).toEqual([]);
    await cache.stop();
  });

  it('is away after a few seconds although nobody asks it, and is back after a probe', async () => {
    const { cache, connection, states } = await shared.instance();
    await cache.set('hot', 1);
    await shared.clock.advance(10);
    connection.mode = 'hangs';
    await shared.clock.advance(5_000);
    expect(states).toEqual(['away']);
    connection.mode = 'well';
    await shared.clock.advance(2_000);
    expect(states).toEqual(['away', 'up']);
    await cache.stop();
  });

  it('is not taken for away when it misses one answer', async () => {
    const { cache, connection, states } = await shared.instance();
    connection.mode = 'hangs';
    await shared.clock.advance(1_500);
    connection.mode = 'well';
    await shared.clock.advance(60_000);
    expect(states).toEqual([]);
    await cache.stop();
  });
});
