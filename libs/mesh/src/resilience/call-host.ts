import type { AttemptHost } from './attempt-scope.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import type { HedgeSettings, RetrySettings } from './policy-settings.js';
import type { RetryBudget } from './retry-budget.js';

/** What a call needs of its policy beyond what an attempt needs. */
export interface CallHost extends AttemptHost {
  readonly retry: RetrySettings | false;
  readonly hedge: HedgeSettings | false;
  readonly budget: RetryBudget | undefined;
  readonly idempotent: boolean;
  readonly timeoutMs: number;
  readonly totalTimeoutMs: number;
  /** Whether the error of an attempt that began at this mark is worth another one, if repeating is safe. */
  isRetryable(error: unknown, mark: number): boolean;
  /** Whether the callee never got the request. */
  isUnsent(error: unknown): boolean;
  /** How long the callee asks to wait. */
  retryAfterMs(error: unknown): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** Epoch ms of the deadline that the running code inherited. */
  inheritedDeadlineAt(): number | undefined;
  breakerFor(key: string | undefined, now: number): CircuitBreaker | undefined;
}
