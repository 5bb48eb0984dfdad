import { CACHE_MANAGER, CacheInterceptor, CacheModule } from '@nestjs/cache-manager';
import { Controller, Get, Inject, Injectable, Module, UseInterceptors } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import type { Cache } from 'cache-manager';
import { Keyv } from 'keyv';
import { describe, expect, it } from 'vitest';
import { CallContexts } from '../core/call-context.js';
import { SystemClock } from '../core/clock.js';
import { SystemIds } from '../core/ids.js';
import { fixedOptions } from '../core/live-options.js';
import { MeshEvents } from '../core/mesh.events.js';
import { metricsSchema } from '../metrics/metrics.options.js';
import { PrometheusMetrics } from '../metrics/prometheus.metrics.js';
import { cacheModuleOptions, refuseKeyv6, refuseKeyv6In } from './cache-manager.adapter.js';
import { cacheSchema } from './cache.options.js';
import { MeshCache } from './mesh-cache.js';

function meshCache(options: Record<string, unknown> = {}): MeshCache {
  const events = new MeshEvents();
  return new MeshCache(fixedOptions(cacheSchema.parse(options)), {
    clock: new SystemClock(),
    events,
    ids: new SystemIds(),
    metrics: new PrometheusMetrics(fixedOptions(metricsSchema.parse({})), events),
    contexts: new CallContexts(),
  });
}

async function setUp(options?: Record<string, unknown>) {
  const cache = meshCache(options);

  @Injectable()
  class Reader {
    constructor(@Inject(CACHE_MANAGER) readonly manager: Cache) {}
  }

  @Controller()
  class Page {
    static runs = 0;
    @Get('page')
    @UseInterceptors(CacheInterceptor)
    page(): string {
      return `page ${++Page.runs}`;
    }
  }

  @Module({
    imports: [CacheModule.registerAsync({ isGlobal: true, useFactory: () => cacheModuleOptions(cache) })],
    providers: [Reader],
    controllers: [Page],
  })
  class AppModule {}

  const app = await Test.createTestingModule({ imports: [AppModule] })
    .compile()
    .then((module) => module.createNestApplication({ logger: false }));
  await app.init();
  return { app, cache, manager: app.get(Reader).manager };
}

describe('CACHE_MANAGER', () => {
  it('reads, writes, wraps, expires and deletes through the mesh cache', async () => {
    const { app, cache, manager } = await setUp();
    await manager.set('a', { x: 1 }, 10_000);
    expect(await manager.get('a')).toEqual({ x: 1 });
    expect(await manager.ttl('a')).toBeGreaterThan(Date.now());
    expect(await manager.mset([{ key: 'b', value: 2 }])).toBeDefined();
    expect(await manager.mget(['a', 'b', 'c'])).toEqual([{ x: 1 }, 2, undefined]);
    let runs = 0;
    const wrap = () => manager.wrap('w', async () => ++runs, 10_000);
    expect([await wrap(), await wrap()]).toEqual([1, 1]);
    expect(cache.namespace('cache-manager').stats()).toMatchObject({ entries: 3 });
    await manager.del('a');
    expect(await manager.get('a')).toBeUndefined();
    await manager.clear();
    expect(cache.namespace('cache-manager').stats().entries).toBe(0);
    await app.close();
  });

  it.each([
    ['none', undefined],
    ['0', 0],
    ['Infinity', Infinity],
  ])('keeps a value until it is evicted with a ttl of %s', async (_, ttlMs) => {
    const { app, cache, manager } = await setUp();
    await manager.set('a', 1, ttlMs);
    expect(await manager.get('a')).toBe(1);
    expect(await cache.namespace('cache-manager').entry('a')).toMatchObject({ freshMs: Infinity });
    await app.close();
  });

  it('leaves the rest of the cache alone when it is cleared', async () => {
    const { app, cache, manager } = await setUp();
    await cache.set('mine', 1);
    await manager.clear();
    expect(await cache.get('mine')).toBe(1);
    await app.close();
  });

  it('is bounded where the default store grows for ever', async () => {
    const { app, cache, manager } = await setUp({ maxEntries: 100 });
    for (let i = 0; i < 1_000; i++) await manager.set(`url?${i}`, i);
    expect(cache.namespace('cache-manager').stats().entries).toBe(100);
    await app.close();
  });

  it('works on for requests that still run after its module was destroyed', async () => {
    const { app, manager } = await setUp();
    await app.close();
    await manager.set('late', 1);
    expect(await manager.get('late')).toBe(1);
  });

  it('serves the cache interceptor of @nestjs/cache-manager', async () => {
    const { app } = await setUp();
    await app.listen(0, '127.0.0.1');
    const get = async () => (await fetch(`${await app.getUrl()}/page`)).text();
    expect([await get(), await get()]).toEqual(['page 1', 'page 1']);
    await app.close();
  });
});

describe('a store of Keyv 6', () => {
  /** What Keyv 6 looks like from outside: its options are private. */
  class Keyv6 {
    static readonly name = 'Keyv';
    get(): void {}
    set(): void {}
    delete(): void {}
    clear(): void {}
    on(): void {}
    getMany(): void {}
    setMany(): void {}
  }

  it('is refused with what to install', () => {
    expect(() => refuseKeyv6([new Map(), new Keyv6()])).toThrow('npm i "keyv@>=5.6 <6"');
  });

  it('is refused as the second tier', async () => {
    const cache = meshCache({ store: new Keyv6() });
    await expect(cache.start()).rejects.toThrow('npm i "keyv@>=5.6 <6"');
  });

  it.each([
    ['as it is', () => CacheModule.register({ stores: [new Keyv6() as never] })],
    ['in a Keyv 5', () => CacheModule.register({ stores: [new Keyv({ store: new Keyv6() })] })],
    ['from a factory', () => CacheModule.registerAsync({ useFactory: () => ({ stores: new Keyv6() as never }) })],
  ])('is found in a CacheModule of the host, %s', async (_, own) => {
    const modules = (await Test.createTestingModule({ imports: [own()] }).compile()).get(ModulesContainer);
    expect(() => refuseKeyv6In(modules)).toThrow('npm i "keyv@>=5.6 <6"');
  });

  it('is not seen in a CacheModule that stands on Keyv 5', async () => {
    for (const own of [CacheModule.register(), CacheModule.register({ stores: [new Keyv(), new Map() as never] })]) {
      const modules = (await Test.createTestingModule({ imports: [own] }).compile()).get(ModulesContainer);
      expect(() => refuseKeyv6In(modules)).not.toThrow();
    }
  });

  it('is told from other stores', () => {
    expect(() => refuseKeyv6([undefined, new Map(), { get() {} }])).not.toThrow();
  });
});
