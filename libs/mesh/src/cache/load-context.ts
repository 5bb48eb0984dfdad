import type { CacheTtl, LoadContext, StaleValue } from '../core/cache.port.js';
import { CacheLoadFailedError, CacheUsageError } from './cache.errors.js';
import { checkedName, checkedTtl } from './usage-checks.js';

/** What the factory decided about its value. */
export interface LoadDecisions {
  ttlMs: CacheTtl;
  /** What the factory itself was told may be the end of its value: no jitter goes beyond. */
  maxFreshMs: number;
  readonly tags: Set<string>;
  keep: boolean;
}

/** The context of one load; what the factory says lands in `decisions`. Its methods may be taken out of the object. */
export function loadContext<T>(
  cache: string,
  signal: AbortSignal,
  stale: StaleValue<T> | undefined,
  decisions: LoadDecisions,
): LoadContext<T> {
  return {
    signal,
    stale,
    ttl: (ttlMs) => {
      decisions.ttlMs = checkedTtl(`cache "${cache}"`, ttlMs);
      decisions.maxFreshMs = ttlMs === 'forever' ? Infinity : ttlMs;
    },
    tags: (...tags) => tags.forEach((tag) => decisions.tags.add(checkedName('tag', tag))),
    skip: () => void (decisions.keep = false),
    fail: (reason) => {
      throw new CacheLoadFailedError(cache, reason);
    },
    notModified: () => {
      if (!stale)
        throw new CacheUsageError(
          'notModified() was called although no stale value is kept; look at context.stale first.',
        );
      return stale.value;
    },
  };
}
