/** How long a value stays fresh: milliseconds (at least 1), or until it is deleted or evicted. */
export type CacheTtl = number | 'forever';

/** The value that a load is about to replace. */
export interface StaleValue<T = unknown> {
  readonly value: T;
  /** Milliseconds since it was stored. */
  readonly ageMs: number;
}

/** What a factory is told about the load that it runs for, and what it may decide about the value. */
export interface LoadContext<T = unknown> {
  /** Aborts when nobody waits for the value any more or the factory's time is over. */
  readonly signal: AbortSignal;
  /** The expired value that is still kept, for conditional requests. */
  readonly stale: StaleValue<T> | undefined;
  /** Overrides how long the value stays fresh. */
  ttl(ttlMs: CacheTtl): void;
  /** Adds tags to those of the call. */
  tags(...tags: readonly string[]): void;
  /** Hands the value to those who wait and does not keep it. */
  skip(): void;
  /** Fails the load: a kept stale value is served if there is one, otherwise callers see a {@link CacheLoadFailedError}. */
  fail(reason: string): never;
  /** The stale value, fresh again: `return context.notModified()`. Throws when there is none. */
  notModified(): T;
}

export type CacheFactory<T> = (context: LoadContext<T>) => Promise<T> | T;

/** What a cached value goes by where nobody who ranks higher says something else. */
export interface CacheDefaults {
  /** How long the value stays fresh. @default the cache's `ttlMs` (30 s) */
  readonly ttlMs?: CacheTtl;
  /** How long after that it is kept to be served while a load is slow or fails, in milliseconds. @default the cache's `graceMs` (5 min) */
  readonly graceMs?: number;
  /** How long a caller waits for the factory while a stale value is at hand; 0 serves it at once. @default the cache's `softTimeoutMs` (100 ms) */
  readonly softTimeoutMs?: number;
  /** How long the factory may take, in milliseconds. @default the cache's `hardTimeoutMs` (10 s) */
  readonly hardTimeoutMs?: number;
}

export interface CacheSetOptions extends Pick<CacheDefaults, 'ttlMs' | 'graceMs'> {
  /** Names for {@link CacheClient.deleteByTag}. */
  readonly tags?: readonly string[];
  /** What counts where neither the call nor the namespace's configuration says something: the options of a decorator. */
  readonly defaults?: CacheDefaults;
}

export interface CacheGetOrSetOptions extends CacheSetOptions, CacheDefaults {
  /** `refresh` loads a new value whatever is there; `bypass` runs the factory and leaves the cache alone. @default 'use' */
  readonly mode?: 'use' | 'refresh' | 'bypass';
  /** Ends this caller's wait; the load goes on for the others. */
  readonly signal?: AbortSignal;
}

/** What the cache holds under a key. */
export type CacheLookup<T> =
  | { readonly found: false }
  | {
      readonly found: true;
      readonly value: T;
      /** `stale`: expired, and kept for the time that a load fails or is slow. */
      readonly state: 'fresh' | 'stale';
      readonly ageMs: number;
      /** How long it stays fresh, in milliseconds; below zero, for how long it has been stale. */
      readonly freshMs: number;
      readonly tier: 'memory' | 'second';
    };

export interface CacheStats {
  /** Requests answered with a fresh value, of either tier. */
  readonly hits: number;
  /** Requests that had to wait for a load or found nothing. */
  readonly misses: number;
  /** Requests answered with an expired value. */
  readonly stale: number;
  /** Runs of factories. */
  readonly loads: number;
  readonly loadFailures: number;
  /** Requests that shared a load which another one had begun. */
  readonly coalesced: number;
  readonly entries: number;
  /** Estimated size of the first tier's values. */
  readonly bytes: number;
  readonly evictions: number;
}

/**
 * The cache of the application. Whatever happens to a store behind it, a call never fails for the cache's sake: the
 * factory's own error, or that it took too long, is all a caller sees.
 */
export abstract class CacheClient {
  /**
   * The cached value, or the factory's. Concurrent callers of one key share one run of the factory, its error included;
   * a value that is `undefined` is handed on and not kept.
   * @throws {CacheLoadTimeoutError} when the factory takes longer than `hardTimeoutMs`, or the caller's deadline passes.
   */
  abstract getOrSet<T>(key: string, factory: CacheFactory<T>, options?: CacheGetOrSetOptions): Promise<T>;
  /** The fresh value, or `undefined` when there is none. `null` is a value. */
  abstract get<T>(key: string): Promise<T | undefined>;
  /** What is held under the key, stale values included. */
  abstract entry<T>(key: string): Promise<CacheLookup<T>>;
  abstract set<T>(key: string, value: T, options?: CacheSetOptions): Promise<void>;
  /** The fresh values by key; keys without one are absent. */
  abstract getMany<T>(keys: readonly string[]): Promise<Map<string, T>>;
  abstract setMany<T>(entries: Iterable<readonly [string, T]>, options?: CacheSetOptions): Promise<void>;
  /** Makes the value stale: the next caller loads, and gets the old value if that fails. Whether there was a value. */
  abstract expire(key: string): Promise<boolean>;
  /** Whether there was a value in memory. A load that began before the delete never brings the old value back. */
  abstract delete(key: string): Promise<boolean>;
  /** How many of the keys had a value in memory. */
  abstract deleteMany(keys: readonly string[]): Promise<number>;
  /** Deletes every value of this namespace that carries one of the tags. */
  abstract deleteByTag(...tags: readonly string[]): Promise<void>;
  /** Deletes every value of this namespace, and of no other. */
  abstract clear(): Promise<void>;
  /**
   * A part of the cache with keys, tags, metrics and defaults of its own; all parts share the bounds. The same name gives
   * the same part.
   */
  abstract namespace(name: string, defaults?: CacheDefaults): CacheClient;
  abstract stats(): CacheStats;
}
