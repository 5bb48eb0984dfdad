import type { CacheTtl, LoadContext, StaleValue } from '../core/cache.port.js';
import { CacheLoadFailedError, CacheUsageError } from './cache.errors.js';

/** What the factory decided about its value. */
export interface LoadDecisions {
  ttlMs: CacheTtl;
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
    ttl: (ttlMs) => void (decisions.ttlMs = checkedTtl(ttlMs)),
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

export function checkedTtl(ttlMs: CacheTtl): CacheTtl {
  if (ttlMs === 'forever' || (typeof ttlMs === 'number' && ttlMs >= 1 && Number.isFinite(ttlMs))) return ttlMs;
  throw new CacheUsageError(`A ttlMs of ${String(ttlMs)} is not possible: pass at least 1 ms, or 'forever'.`);
}

export function checkedName(what: 'key' | 'tag' | 'namespace', name: unknown): string {
  if (typeof name === 'string' && name.length > 0) return name;
  throw new CacheUsageError(
    `A cache ${what} must be a string of at least one character, not ${name === '' ? 'an empty one' : typeof name}.`,
  );
}
