import { describe, expect, it } from 'vitest';
import { CacheFixture } from '../../../../test/cache/cache.fixture.js';
import { CachePut } from './decorators/cache-write.decorators.js';
import { Cacheable } from './decorators/cacheable.decorator.js';
import { HttpCache } from './http/http-cache.decorator.js';

describe('a time that makes no sense', () => {
  it.each([
    ['ttlMs', 0, "at least 1 ms, or 'forever'"],
    ['ttlMs', Infinity, "at least 1 ms, or 'forever'"],
    ['graceMs', Number.NaN, 'at least 0 ms'],
    ['softTimeoutMs', -1, 'at least 0 ms'],
    ['hardTimeoutMs', 0, 'at least 1 ms'],
    ['hardTimeoutMs', '50', 'at least 1 ms'],
  ])('is refused at the call: a %s of %s', async (name, ms, hint) => {
    const { cache } = new CacheFixture();
    const call = cache.namespace('rates').getOrSet('k', () => 1, { [name]: ms });
    await expect(call).rejects.toMatchObject({
      code: 'MESH_CACHE_USAGE',
      message: `The ${name} of cache "rates" can't be ${ms}: pass ${hint}.`,
    });
  });

  it('is refused where a namespace is first asked for', () => {
    const { cache } = new CacheFixture();
    expect(() => cache.namespace('rates', { graceMs: Number.NaN })).toThrow('graceMs of cache "rates"');
    expect(() => cache.namespace('rates')).not.toThrow();
  });

  it('is refused where a decorator is written', () => {
    expect(() => Cacheable({ softTimeoutMs: Number.NaN })).toThrow('softTimeoutMs of @Cacheable');
    expect(() => CachePut({ key: () => 'k', ttlMs: -1 })).toThrow('ttlMs of @CachePut');
    expect(() => HttpCache({ staleIfErrorMs: Number.NaN })).toThrow('staleIfErrorMs of @HttpCache');
  });
});

describe('a time that is longer than a timer can wait', () => {
  it.each([Infinity, 1e12])('lasts as long as a timer does, and does not end at once: %s ms', async (ms) => {
    const { cache, clock } = new CacheFixture();
    const hung = new Promise<never>(() => undefined);
    const load = cache.getOrSet('k', () => hung, { hardTimeoutMs: ms });
    const ended = expect(load).rejects.toMatchObject({ code: 'MESH_CACHE_LOAD_TIMEOUT' });
    await clock.advance(2 ** 31 - 2);
    expect(clock.pendingTimers).toBe(1);
    await clock.advance(1);
    await ended;
  });
});
