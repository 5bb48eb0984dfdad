import { createCache } from 'cache-manager';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cacheModuleOptions } from '../../../libs/mesh/src/cache/cache-manager.adapter.js';
import { RedisServer } from './redis-server.js';
import { cacheInstance, instancesAround, percentile, sharedBroker, shares, timed, until } from './shared-cache.js';

let redis: RedisServer;
const instances = instancesAround(() => redis.url);
const { join, connected } = instances;

afterEach(async () => {
  await instances.stop();
  await redis.kill();
});

describe('a second tier that works', () => {
  beforeEach(async () => {
    redis = await RedisServer.start();
  });

  it('hands values from one instance to the other, types and all', async () => {
    const [a, b] = [await connected(), await connected({}, 'b')];
    const value = { at: new Date(1), tags: new Set(['x']), big: 10n, bytes: Buffer.from('x'), none: null };
    await a.cache.set('k', value);
    await until(() => shares(a.cache), 1_000);
    expect(await b.cache.getOrSet('k', () => 'loaded')).toStrictEqual(value);
    expect(await b.cache.entry('k')).toMatchObject({ tier: 'memory', state: 'fresh' });
    expect(b.cache.stats()).toMatchObject({ hits: 1, loads: 0 });
  });

  it('takes and gives thousands of values at once', async () => {
    const options = { maxEntries: 100_000 };
    // Patient, as a pause of this process would count as the one bounded wait of getMany.
    const patient = { ...options, secondTier: { readTimeoutMs: 1_000 } };
    const [a, b] = [await connected(options), await connected(patient, 'b')];
    const keys = Array.from({ length: 12_000 }, (_, i) => `key ${i}`);
    await a.cache.setMany(keys.map((key) => [key, key]));
    await until(() => shares(a.cache), 5_000);
    expect((await b.cache.getMany(keys)).size).toBe(keys.length);
    expect([...a.transitions, ...b.transitions]).toEqual([]);
  });

  it('gives a value from there no longer life than it has left', async () => {
    const [a, b] = [await connected(), await connected({}, 'b')];
    await a.cache.set('k', 1, { ttlMs: 300, graceMs: 0 });
    await until(() => shares(a.cache), 1_000);
    expect(await b.cache.get('k')).toBe(1);
    await sleep(350);
    expect(await b.cache.get('k')).toBeUndefined();
  });

  it('never brings back what was deleted by key, by tag or by clear(), for whoever has not read it yet', async () => {
    const [a, b] = [await connected(), await connected({}, 'b')];
    for (const key of ['key', 'tag', 'clear', 'kept']) {
      const owner = key === 'clear' ? a.cache.namespace('n') : a.cache;
      await owner.set(key, 'old', { tags: key === 'tag' ? ['t'] : [] });
    }
    await a.cache.delete('key');
    await a.cache.deleteByTag('t');
    await a.cache.namespace('n').clear();
    await until(() => shares(a.cache), 1_000);
    for (const { cache } of [a, b]) {
      expect(await cache.get('key')).toBeUndefined();
      expect(await cache.get('tag')).toBeUndefined();
      expect(await cache.namespace('n').get('clear')).toBeUndefined();
      expect(await cache.get('kept')).toBe('old');
    }
  });

  it('ignores a write of a load that began elsewhere before the delete', async () => {
    const [a, b, c] = [await connected(), await connected({}, 'b'), await connected({}, 'c')];
    const slow = Promise.withResolvers<string>();
    const loading = b.cache.getOrSet('k', () => slow.promise);
    await sleep(20);
    await a.cache.delete('k');
    await until(() => shares(a.cache), 1_000);
    slow.resolve('old');
    expect(await loading).toBe('old');
    await until(() => shares(b.cache), 1_000);
    expect(await c.cache.get('k')).toBeUndefined();
    expect(await a.cache.getOrSet('k', () => 'new')).toBe('new');
  });

  it('shows a change to an instance that holds the old value within 50 ms, and never the old value after that', async () => {
    const broker = sharedBroker();
    const [a, b] = [await connected({}, 'a', broker), await connected({}, 'b', broker)];
    const took: number[] = [];
    for (let round = 0; round < 20; round++) {
      await a.cache.set('k', round);
      took.push(await until(async () => (await b.cache.get('k')) === round, 1_000));
      expect(await b.cache.get('k')).toBe(round);
    }
    expect(percentile(took, 0.9)).toBeLessThan(50);
    await a.cache.delete('k');
    await until(async () => (await b.cache.get('k')) === undefined, 1_000);
  });

  it('keeps a stale value for an instance whose factory fails', async () => {
    const [a, b] = [await connected(), await connected({}, 'b')];
    await a.cache.set('k', 'old');
    await a.cache.expire('k');
    await until(() => shares(a.cache), 1_000);
    const failing = () => Promise.reject(new Error('database down'));
    expect(await b.cache.getOrSet('k', failing)).toBe('old');
    await expect(b.cache.getOrSet('other', failing)).rejects.toThrow('database down');
  });

  it('takes what it can not read for a miss, and a value that can not travel stays in memory', async () => {
    const codec = {
      encode: (value: unknown) => JSON.stringify(value),
      decode: (): never => {
        throw new Error('another version');
      },
    };
    const [a, b] = [await connected(), await connected({ codec }, 'b')];
    await a.cache.set('k', 1);
    await until(() => shares(a.cache), 1_000);
    expect(await b.cache.getOrSet('k', () => 'loaded')).toBe('loaded');
    const cycle: unknown[] = [];
    cycle.push(cycle);
    await a.cache.set('cycle', cycle);
    expect(await a.cache.get('cycle')).toBe(cycle);
    expect((await a.metrics.expose()).body).toMatch(/mesh_cache_codec_errors_total\{.*op="encode".*\} 1/);
    expect((await b.metrics.expose()).body).toMatch(/mesh_cache_codec_errors_total\{.*op="decode".*\} [1-9]/);
  });

  it.each(['null', '7\n1', '{}\n1', '[]', '{"at":"now"}', '{"at":1,"kind":"burnt"}'])(
    'takes what another program wrote there for nothing: %j',
    async (text) => {
      const [a, b] = [await connected(), await connected({}, 'b')];
      await a.cache.set('k', 'shared', { tags: ['t'] });
      await until(() => shares(a.cache), 1_000);
      const write = (kind: string, key: string) =>
        redis.command(`SET shop:v1:default:${kind}:=${key} ${JSON.stringify(text)}`);
      for (const [kind, key] of [
        ['d', 'k'],
        ['t', 't'],
        ['c', ''],
      ] as const)
        await write(kind, key);
      expect(await b.cache.getOrSet('k', () => 'loaded')).toBe('shared');
      for (let i = 0; i < 10; i++) {
        await write('k', `k${i}`);
        expect(await b.cache.getOrSet(`k${i}`, () => 'loaded')).toBe('loaded');
      }
      expect(b.transitions).toEqual([]);
    },
  );

  it('keeps services, namespaces and schema versions apart', async () => {
    const [a, other, next] = [
      await connected(),
      await connected({ secondTier: { prefix: 'billing' } }),
      await connected({ secondTier: { schemaVersion: 2 } }),
    ];
    await a.cache.set('k', 1);
    await until(() => shares(a.cache), 1_000);
    expect(await other.cache.get('k')).toBeUndefined();
    expect(await next.cache.get('k')).toBeUndefined();
    expect(await a.cache.namespace('n').get('k')).toBeUndefined();
  });

  it('keeps namespaces apart whose names look like keys', async () => {
    const [a, b] = [await connected(), await connected({}, 'b')];
    await a.cache.namespace('tenant').set('1:k:=secret', 'of tenant');
    await until(() => shares(a.cache), 1_000);
    expect(await b.cache.namespace('tenant:k:=1').get('secret')).toBeUndefined();
    expect(await b.cache.namespace('tenant').get('1:k:=secret')).toBe('of tenant');
  });

  it('is written before the application stops, and opens no connection for late calls', async () => {
    const [a, b] = [await connected(), await connected({}, 'b')];
    for (let i = 0; i < 500; i++) void a.cache.set(`k${i}`, i);
    const context = { signal: AbortSignal.timeout(2_000), reason: 'shutdown' as const, deadlineAt: Date.now() + 2_000 };
    await a.cache.drain(context);
    await a.cache.stop(context);
    expect(await b.cache.get('k499')).toBe(499);
    const before = await redis.connections();
    expect(await a.cache.getOrSet('late', () => 'from the factory')).toBe('from the factory');
    await a.cache.set('later', 1);
    await sleep(100);
    expect(await b.cache.get('later')).toBeUndefined();
    expect(await redis.connections()).toEqual(before);
  });
});

describe('a second tier that is down at boot', () => {
  beforeEach(async () => {
    redis = await RedisServer.reserve();
  });

  it('lets the application start, costs no error, and is used once it is there', async () => {
    const { value: a, ms } = await timed(() => join());
    expect(ms).toBeLessThan(1_000);
    const first = await timed(() => a.cache.getOrSet('first', () => 1));
    expect(first.ms).toBeLessThan(100);
    for (let i = 0; i < 50; i++) expect(await a.cache.getOrSet(`k${i}`, () => i)).toBe(i);
    await until(() => a.cache.readHealth()[0]!.status === 'degraded', 2_000);
    await redis.start();
    expect(await until(() => shares(a.cache), 5_000)).toBeLessThan(2_000);
    const b = await connected({}, 'b');
    expect(await b.cache.get('k49')).toBe(49);
  });
});

describe('a second tier that answers for one key alone, as a node of Redis Cluster does', () => {
  it('is away, and does not come back at each probe', async () => {
    let asked = 0;
    const store = {
      get: () => undefined,
      set: () => true,
      delete: () => true,
      getMany: async (keys: readonly string[]) => {
        asked++;
        if (keys.length > 1) throw new Error('CROSSSLOT Keys in request do not hash to the same slot');
        return [undefined];
      },
    };
    const { cache, transitions } = cacheInstance({ store, secondTier: { probeMs: 10 } });
    await cache.start();
    await until(async () => (await cache.get('k')) === undefined && transitions.length > 0, 5_000);
    const before = asked;
    await until(() => asked > before + 5, 5_000);
    expect(transitions).toMatchObject([{ state: 'away', reason: expect.stringContaining('CROSSSLOT') }]);
    await cache.stop();
  });
});

describe('a second tier without room', () => {
  it('is told by health for as long as deletions wait for it, and has them when there is room', async () => {
    redis = await RedisServer.start();
    const a = await connected({ secondTier: { retryMs: 50 } });
    const b = await connected({}, 'b');
    await a.cache.set('k', 'old');
    await until(async () => (await b.cache.get('k')) === 'old', 2_000);
    await redis.command('CONFIG SET maxmemory 1');
    await a.cache.delete('k');
    const status = (): string => a.cache.readHealth()[0]!.status;
    await until(() => status() === 'degraded', 2_000);
    expect(a.cache.readHealth()[0]!.reason).toMatch(/refuses what was deleted .*OOM/);
    expect(await a.cache.get('k')).toBeUndefined();
    await redis.command('CONFIG SET maxmemory 0');
    await until(() => status() === 'up', 2_000);
    expect(await (await connected({}, 'c')).cache.get('k')).toBeUndefined();
  });
});

describe('a second tier that is required', () => {
  it('lets nothing start without it, and says within 5 s what is missing', async () => {
    redis = await RedisServer.reserve();
    const { cache } = cacheInstance({ redis: { url: redis.url }, secondTier: { required: true } });
    const { value: error, ms } = await timed(() => cache.start().catch((reason: unknown) => reason as Error));
    expect(ms).toBeLessThan(5_000);
    expect(error).toMatchObject({ code: 'MESH_CACHE_SECOND_TIER_REQUIRED' });
    expect((error as Error).message).toContain(`ECONNREFUSED 127.0.0.1:${redis.port}`);
    await cache.stop();
  });

  it('is waited for, and its absence later costs no more than that of another', async () => {
    redis = await RedisServer.reserve();
    const starting = join({ secondTier: { required: true } });
    await sleep(300);
    await redis.start();
    const { cache } = await starting;
    expect(cache.readHealth()[0]!.status).toBe('up');
    await redis.kill();
    expect(await cache.getOrSet('k', () => 'loaded')).toBe('loaded');
  });
});

describe('CACHE_MANAGER over a second tier that hangs', () => {
  it('answers as fast as the cache itself, where the original never would', async () => {
    redis = await RedisServer.start();
    const a = await connected();
    const manager = createCache(cacheModuleOptions(a.cache) as Parameters<typeof createCache>[0]);
    await manager.set('warm', 1);
    redis.pause();
    const cold: number[] = [];
    for (let i = 0; i < 50; i++) {
      const { value, ms } = await timed(() => manager.wrap(`cold ${i}`, async () => i));
      expect(value).toBe(i);
      cold.push(ms);
    }
    expect(await manager.get('warm')).toBe(1);
    expect(await manager.del('warm')).toBe(true);
    expect(Math.max(...cold)).toBeLessThan(300);
    expect(percentile(cold, 0.5)).toBeLessThan(5);
  });
});
