import type { BulkheadSettings } from './bulkhead.js';
import type { BreakerSettings } from './circuit-breaker.js';
import type { FaultSettings } from './faults/configured-fault.js';
import type { RetryBudgetSettings } from './retry-budget.js';
import type { RateLimitSettings } from './token-bucket.js';

export interface RetrySettings {
  readonly maxRetries: number;
  readonly backoff: 'exponential' | 'linear' | 'constant';
  readonly delayMs: number;
  readonly maxDelayMs: number;
  readonly jitter: 'full' | 'equal' | 'none';
  readonly maxRetryAfterMs: number;
  readonly budget: RetryBudgetSettings | false;
}

export interface HedgeSettings {
  readonly maxHedges: number;
  readonly delayMs: number | 'p95';
  readonly minDelayMs: number;
}

export interface KeyedBreakerSettings extends BreakerSettings {
  readonly maxKeys: number;
  readonly keyIdleMs: number;
}

/** A policy with every layer merged: what is `false` is off. */
export interface PolicySettings {
  readonly timeoutMs: number | false;
  readonly totalTimeoutMs: number | false;
  readonly retry: RetrySettings | false;
  readonly rateLimit: RateLimitSettings | false;
  readonly bulkhead: BulkheadSettings | false;
  readonly circuitBreaker: KeyedBreakerSettings | false;
  readonly hedge: HedgeSettings | false;
  readonly fault: FaultSettings | false;
}
