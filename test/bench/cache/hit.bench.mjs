// What a hit of the first tier costs: ours with single flight and metrics on, against CACHE_MANAGER.wrap on Nest's default
// store and bentocache's getOrSet, both as their documentation sets them up.
// npm run build:lib && npm run bench -- cache
// The goals are issue 7's: at most 0.5x wrap, at most 0.25x bentocache.
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { createCache } from 'cache-manager';
import { goal, load, print, race, rowOf } from '../harness.js';

const { MeshCache } = await load('cache/mesh-cache.js');
const { cacheSchema } = await load('cache/cache.options.js');
const { cacheModuleOptions } = await load('cache/cache-manager.adapter.js');
const { PrometheusMetrics } = await load('metrics/prometheus.metrics.js');
const { metricsSchema } = await load('metrics/metrics.options.js');
const { CallContexts } = await load('core/call-context.js');
const { SystemClock } = await load('core/clock.js');
const { SystemIds } = await load('core/ids.js');
const { fixedOptions } = await load('core/live-options.js');
const { MeshEvents } = await load('core/mesh.events.js');

const KEYS = Array.from({ length: 10_000 }, (_, i) => `products:${i}`);
const TTL_MS = 3_600_000;
const valueOf = (key) => ({ id: key, name: `Product ${key}`, price: 1999, stock: 7, tags: ['a', 'b'] });

function meshCache() {
  const events = new MeshEvents();
  return new MeshCache(fixedOptions(cacheSchema.parse({ ttlMs: TTL_MS, maxEntries: 20_000 })), {
    clock: new SystemClock(),
    ids: new SystemIds(),
    events,
    metrics: new PrometheusMetrics(fixedOptions(metricsSchema.parse({})), events),
    contexts: new CallContexts(),
  });
}

function bentocache() {
  return new BentoCache({
    default: 'memory',
    stores: { memory: bentostore().useL1Layer(memoryDriver({ maxItems: 20_000 })) },
  });
}

const mesh = meshCache();
const manager = createCache();
const behindManager = createCache({ ...cacheModuleOptions(meshCache()) });
const bento = bentocache();
const map = new Map(KEYS.map((key) => [key, valueOf(key)]));
const loader = (key) => async () => valueOf(key);

for (const key of KEYS) {
  await mesh.getOrSet(key, loader(key));
  await manager.wrap(key, loader(key), TTL_MS);
  await behindManager.wrap(key, loader(key), TTL_MS);
  await bento.getOrSet({ key, factory: loader(key), ttl: TTL_MS });
}
// The first read of each entry compares it with the deleted tags; every later one takes the short way.
for (const key of KEYS) await mesh.getOrSet(key, loader(key));

let next = 0;
const key = () => KEYS[(next = (next + 7919) % KEYS.length)];
const factory = async () => {
  throw new Error('a hit runs no factory');
};

const contenders = [
  {
    name: 'CACHE_MANAGER.wrap, default store',
    async run(n) {
      for (let i = 0; i < n; i++) await manager.wrap(key(), factory, TTL_MS);
    },
  },
  {
    name: 'MeshCache.getOrSet',
    async run(n) {
      for (let i = 0; i < n; i++) await mesh.getOrSet(key(), factory);
    },
  },
  {
    name: 'MeshCache.get',
    async run(n) {
      for (let i = 0; i < n; i++) await mesh.get(key());
    },
  },
  {
    name: 'CACHE_MANAGER.wrap over MeshCache',
    async run(n) {
      for (let i = 0; i < n; i++) await behindManager.wrap(key(), factory, TTL_MS);
    },
  },
  {
    name: 'await of a Map.get',
    async run(n) {
      for (let i = 0; i < n; i++) await Promise.resolve(map.get(key()));
    },
  },
  {
    name: 'bentocache.getOrSet, default',
    async run(n) {
      for (let i = 0; i < n; i++) await bento.getOrSet({ key: key(), factory, ttl: TTL_MS });
    },
  },
];

const rows = await race(contenders);
print('a hit in 10,000 keys', rows);
const own = rowOf(rows, 'MeshCache.getOrSet');
goal('getOrSet hit against CACHE_MANAGER.wrap', own.ratio, 0.5, 'x');
goal('getOrSet hit against bentocache', own.ns / rowOf(rows, 'bentocache.getOrSet, default').ns, 0.25, 'x');
await bento.disconnectAll();

let runs = 0;
const stampede = await Promise.all(
  Array.from({ length: 10_000 }, () =>
    mesh.getOrSet('cold', async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return ++runs;
    }),
  ),
);
goal('factory runs for 10,000 concurrent calls of a cold key', runs, 1);
if (stampede.some((value) => value !== 1)) throw new Error('a caller got another value');
