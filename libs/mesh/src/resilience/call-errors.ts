import { DrainingError } from '../core/mesh.errors.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import {
  AttemptTimeoutError,
  BulkheadFullError,
  CancelledError,
  CircuitIsolatedError,
  CircuitOpenError,
  DeadlineExceededError,
  InjectedFaultError,
  RateLimitedError,
} from './resilience.errors.js';

/** Builds an error without walking the stack: it would cost ten times the refused call and show only our own frames. */
function withoutStack<E extends Error>(create: () => E): E {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return create();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

// What calls through a policy are refused with or given up for, where it happens at the rate of the calls.

export function draining(policy: string): Error {
  return withoutStack(() => new DrainingError(`Call "${policy}"`));
}

export function cancelled(policy: string, reason: unknown): Error {
  return withoutStack(() => new CancelledError(policy, reason));
}

export function outOfTime(policy: string, what: string): Error {
  return withoutStack(() => new DeadlineExceededError(policy, what));
}

export function rateLimited(policy: string, retryAfterMs: number): Error {
  return withoutStack(() => new RateLimitedError(policy, retryAfterMs));
}

export function bulkheadFull(policy: string, reason: string): Error {
  return withoutStack(() => new BulkheadFullError(policy, reason));
}

export function attemptTimedOut(policy: string, afterMs: number): Error {
  return withoutStack(() => new AttemptTimeoutError(policy, afterMs));
}

export function refusedBy(breaker: CircuitBreaker, now: number): Error {
  const { policy, holdReason, key } = breaker;
  const retryAfterMs = breaker.retryAfterMs(now);
  return withoutStack(() =>
    holdReason === undefined
      ? new CircuitOpenError(policy, retryAfterMs ?? 1, key)
      : new CircuitIsolatedError(policy, holdReason, retryAfterMs, key),
  );
}

export function injectedFault(policy: string, origin: string): Error {
  return withoutStack(() => new InjectedFaultError(policy, origin));
}
