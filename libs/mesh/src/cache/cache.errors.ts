import { MeshError } from '../core/mesh.error.js';

/** A factory took longer than the cache's `hardTimeoutMs`, or a caller's deadline passed while it waited for one. */
export class CacheLoadTimeoutError extends MeshError {
  constructor(cache: string, waitedMs: number, limit: 'factory' | 'caller') {
    const waited = Math.round(waitedMs);
    super(
      limit === 'factory'
        ? `A load of cache "${cache}" was given up after ${waited} ms (hardTimeoutMs); pass context.signal on to what the factory calls, or raise the limit.`
        : `A load of cache "${cache}" was still running when its caller's deadline passed after ${waited} ms; nothing was stale enough to serve instead.`,
      {
        code: 'MESH_CACHE_LOAD_TIMEOUT',
        status: 504,
        retryable: true,
        details: { cache, waitedMs: waited, limit },
      },
    );
  }
}

/** A factory gave up with `context.fail(reason)` and no stale value was kept. */
export class CacheLoadFailedError extends MeshError {
  constructor(cache: string, reason: string) {
    super(`A load of cache "${cache}" failed: ${reason}`, {
      code: 'MESH_CACHE_LOAD_FAILED',
      status: 503,
      retryable: true,
      details: { cache },
    });
  }
}

/** The second tier did not answer at the start, and `cache.secondTier.required` says that there is no start without it. */
export class SecondTierRequiredError extends MeshError {
  constructor(waitedMs: number, reason: string) {
    super(
      `The second tier of the cache did not answer within ${waitedMs} ms (${reason}), and cache.secondTier.required is set: start it, correct cache.redis.url, or leave "required" out to start without it.`,
      { code: 'MESH_CACHE_SECOND_TIER_REQUIRED', status: 503, retryable: true, details: { waitedMs } },
    );
  }
}

/** A call of the cache makes no sense: an empty key, a ttl of 0, `notModified()` with nothing to keep. */
export class CacheUsageError extends MeshError {
  constructor(message: string) {
    super(message, { code: 'MESH_CACHE_USAGE' });
  }
}

/** A cached method can't be told apart from another, or one of its arguments has no unambiguous key. */
export class CacheKeyError extends MeshError {
  constructor(method: string, problem: string) {
    super(`${method} can't be cached under its default key: ${problem}`, {
      code: 'MESH_CACHE_KEY',
      details: { method },
    });
  }
}
