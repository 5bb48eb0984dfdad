/** What a factory is told about the load that it runs for. */
export interface LoadContext {
  /** Aborts when nobody waits for the value any more or the factory's time is over. */
  readonly signal: AbortSignal;
}

export interface CacheSetOptions {
  /** How long the value stays fresh, in milliseconds. @default the cache's `ttlMs` (30 s) */
  readonly ttlMs?: number;
}

export type CacheGetOrSetOptions = CacheSetOptions;

export interface CacheStats {
  readonly hits: number;
  readonly misses: number;
  readonly entries: number;
  readonly evictions: number;
}

/**
 * The cache of the application. Whatever happens to a store behind it, a call never fails for the cache's sake: the
 * factory's own error is the only one a caller sees.
 */
export abstract class CacheClient {
  /** The cached value, or the factory's. Concurrent callers of one key share one run of the factory. */
  abstract getOrSet<T>(
    key: string,
    factory: (context: LoadContext) => Promise<T> | T,
    options?: CacheGetOrSetOptions,
  ): Promise<T>;
  /** The cached value, or `undefined` when there is none. `null` is a value. */
  abstract get<T>(key: string): Promise<T | undefined>;
  abstract set<T>(key: string, value: T, options?: CacheSetOptions): Promise<void>;
  /** Whether there was a value. A load that began before the delete never brings the old value back. */
  abstract delete(key: string): Promise<boolean>;
  abstract clear(): Promise<void>;
  abstract stats(): CacheStats;
}
