import { describe, expect, it } from 'vitest';
import { CacheFixture } from '../../../../test/cache/cache.fixture.js';

const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);

/** How long each of the values stays fresh, after they were all loaded under a jitter of up to the whole ttl. */
async function freshness(
  load: (cache: CacheFixture['cache'], key: string) => Promise<unknown>,
  options: object = {},
): Promise<readonly number[]> {
  const { cache } = new CacheFixture({ jitterRatio: 1, ...options });
  await Promise.all(keys.map((key) => load(cache, key)));
  const lookups = await Promise.all(keys.map((key) => cache.entry(key)));
  return lookups.map((lookup) => (lookup.found ? lookup.freshMs : 0));
}

describe('jitter', () => {
  it('lets values that were loaded together expire one after the other, none before its ttl', async () => {
    const fresh = await freshness((cache, key) => cache.set(key, 1, { ttlMs: 1_000 }));
    expect(new Set(fresh).size).toBeGreaterThan(1);
    expect(Math.min(...fresh)).toBeGreaterThanOrEqual(1_000);
    expect(Math.max(...fresh)).toBeLessThan(2_000);
  });

  it('adds nothing to what a factory says about its value, as it says what it was told', async () => {
    const fresh = await freshness((cache, key) =>
      cache.getOrSet(key, (context) => {
        context.ttl(1_000);
        return 1;
      }),
    );
    expect(new Set(fresh)).toEqual(new Set([1_000]));
  });

  it('adds nothing to the upper limit for null', async () => {
    const fresh = await freshness((cache, key) => cache.set(key, null), { nullTtlMs: 500 });
    expect(new Set(fresh)).toEqual(new Set([500]));
  });
});
