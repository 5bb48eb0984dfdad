/** Defaults of a policy. Where a number comes from: docs/resilience.md, "Defaults". */
export const POLICY_DEFAULTS = {
  timeoutMs: 10_000,
  totalTimeoutMs: 30_000,
  retry: {
    maxRetries: 2,
    backoff: 'exponential',
    delayMs: 100,
    maxDelayMs: 2_000,
    jitter: 'full',
    maxRetryAfterMs: 30_000,
    budget: { ratio: 0.2, minPerSecond: 3 },
  },
  circuitBreaker: {
    failureRatio: 0.5,
    minimumCalls: 20,
    windowMs: 30_000,
    windowCalls: false,
    openMs: 5_000,
    maxOpenMs: 60_000,
    openJitterRatio: 0.2,
    halfOpenCalls: 3,
    slowCallMs: false,
    slowCallRatio: 0.5,
    maxKeys: 1_000,
    keyIdleMs: 600_000,
  },
  bulkhead: { maxConcurrent: 100, maxQueued: 0, maxWaitMs: 1_000 },
  rateLimit: { limit: 100, intervalMs: 1_000, burst: false },
  hedge: { maxHedges: 1, delayMs: 'p95', minDelayMs: 50 },
  fault: { errorRatio: 0, delayMs: 0, delayRatio: 1, hangRatio: 0 },
} as const;

/** Stages that are off until a policy names them. */
export const OFF_BY_DEFAULT = ['bulkhead', 'rateLimit', 'hedge', 'fault'] as const;

/** Time slots of a time window: the oldest tenth is forgotten at once. */
export const WINDOW_BUCKETS = 10;

/** The retry budget looks back this far. */
export const BUDGET_WINDOW_MS = 10_000;

/** A `setTimeout` longer than 2^31-1 ms fires at once, so no duration may come near it. */
export const MAX_DURATION_MS = 86_400_000;

/** An inherited deadline that left the attempt less than this says nothing about the callee when it passes. */
export const DEADLINE_EVIDENCE_MS = 1_000;

/** How many events a policy remembers. */
export const EVENT_RING_SIZE = 100;

/** At most one rejection event a policy and outcome in this time; it carries the number of those left out. */
export const REJECTION_SAMPLE_MS = 1_000;

/** Where the instances of a service tell each other about their breakers. */
export const SHARING_NAMESPACE = 'mesh.breakers';

/** How often an instance looks for what the others said. */
export const SHARE_POLL_MS = 5_000;

/** News for the other instances wait this long, so that many at once go out together. */
export const SHARE_SOON_MS = 250;

/** An exchange with the cache that takes longer has failed. */
export const SHARE_LIMIT_MS = 2_000;

/** While the cache fails, it is asked less and less often, but at least this often. */
export const SHARE_MAX_PAUSE_MS = 60_000;

/** What operators said is kept in the cache for so long after the last instance that held it has gone. */
export const OVERRIDES_KEPT_MS = 7 * 86_400_000;

/** A release is remembered for an instance that has been cut off. */
export const RELEASE_KEPT_MS = 86_400_000;

/** At most so many open breakers are told of. */
export const MAX_SHARED_OPENINGS = 1_000;
