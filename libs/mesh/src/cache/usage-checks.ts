import type { CacheDefaults, CacheTtl } from '../core/cache.port.js';
import { CacheUsageError } from './cache.errors.js';

/** The times that are a number of milliseconds, with the least that each may be; `Infinity` is one, too. */
const MINIMA_MS = {
  graceMs: 0,
  softTimeoutMs: 0,
  hardTimeoutMs: 1,
  staleWhileRevalidateMs: 0,
  staleIfErrorMs: 0,
} as const;

type TimeName = keyof typeof MINIMA_MS;
const TIME_NAMES = Object.keys(MINIMA_MS) as TimeName[];

/** @param place what the ttl was given to: a cache, a decorator. */
export function checkedTtl(place: string, ttlMs: CacheTtl): CacheTtl {
  if (ttlMs === 'forever' || (typeof ttlMs === 'number' && ttlMs >= 1 && Number.isFinite(ttlMs))) return ttlMs;
  throw new CacheUsageError(`The ttlMs of ${place} can't be ${String(ttlMs)}: pass at least 1 ms, or 'forever'.`);
}

export function checkedTime(place: string, name: TimeName, ms: number): number {
  if (typeof ms === 'number' && ms >= MINIMA_MS[name]) return ms;
  throw new CacheUsageError(`The ${name} of ${place} can't be ${String(ms)}: pass at least ${MINIMA_MS[name]} ms.`);
}

/**
 * For where times are written down, long before they are first needed.
 * @throws {CacheUsageError} for one that makes no sense.
 */
export function checkTimes(
  place: string,
  times: Pick<CacheDefaults, 'ttlMs'> & { readonly [N in TimeName]?: number },
): void {
  if (times.ttlMs !== undefined) checkedTtl(place, times.ttlMs);
  for (const name of TIME_NAMES) if (times[name] !== undefined) checkedTime(place, name, times[name]);
}

export function checkedName(what: 'key' | 'tag' | 'namespace', name: unknown): string {
  if (typeof name === 'string' && name.length > 0) return name;
  throw new CacheUsageError(
    `A cache ${what} must be a string of at least one character, not ${name === '' ? 'an empty one' : typeof name}.`,
  );
}
