import {
  CacheClient,
  type CacheLookup,
  type CacheSetOptions,
  type CacheStats,
} from '../../libs/mesh/src/core/cache.port.js';
import type { Clock } from '../../libs/mesh/src/core/clock.js';

interface Stored {
  readonly text: string;
  readonly storedAt: number;
  readonly freshUntil: number;
  readonly keepUntil: number;
}

/** What a second tier is to several instances: one place, with copies in and out. It can hang, throw, and forget. */
export class SharedStore extends CacheClient {
  mode: 'well' | 'hangs' | 'throws' | 'throws at once' = 'well';
  reads = 0;
  writes = 0;
  readonly #values = new Map<string, Stored>();

  constructor(private readonly clock: Clock) {
    super();
  }

  forget(): void {
    this.#values.clear();
  }

  override get<T>(key: string): Promise<T | undefined> {
    this.reads++;
    return this.#answer(() => {
      const stored = this.#values.get(key);
      return stored && this.clock.monotonic() < stored.freshUntil ? (JSON.parse(stored.text) as T) : undefined;
    });
  }

  override entry<T>(key: string): Promise<CacheLookup<T>> {
    return this.#answer(() => {
      const stored = this.#values.get(key);
      const now = this.clock.monotonic();
      if (!stored || now >= stored.keepUntil) return { found: false };
      const freshMs = stored.freshUntil - now;
      const state = freshMs > 0 ? 'fresh' : 'stale';
      const value = JSON.parse(stored.text) as T;
      return { found: true, value, state, freshMs, ageMs: now - stored.storedAt, tier: 'second' };
    });
  }

  override set<T>(key: string, value: T, { ttlMs = 30_000, graceMs = 0 }: CacheSetOptions = {}): Promise<void> {
    this.writes++;
    return this.#answer(() => {
      const now = this.clock.monotonic();
      const freshUntil = now + (ttlMs === 'forever' ? Infinity : ttlMs);
      this.#values.set(key, {
        text: JSON.stringify(value),
        storedAt: now,
        freshUntil,
        keepUntil: freshUntil + graceMs,
      });
    });
  }

  override namespace(): CacheClient {
    return this;
  }

  override getOrSet = unused;
  override getMany = unused;
  override setMany = unused;
  override expire = unused;
  override delete = unused;
  override deleteMany = unused;
  override deleteByTag = unused;
  override clear = unused;
  override stats = unused as () => CacheStats;

  #answer<T>(work: () => T): Promise<T> {
    if (this.mode === 'throws at once') throw new Error('store is broken');
    if (this.mode === 'throws') return Promise.reject(new Error('store is down'));
    if (this.mode === 'hangs') return new Promise(() => undefined);
    return Promise.resolve().then(work);
  }
}

function unused(): never {
  throw new Error('the breakers do not need this');
}
