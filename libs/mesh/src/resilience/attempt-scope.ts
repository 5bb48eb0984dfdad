import type { Clock } from '../core/clock.js';
import type { Attempt } from '../core/policy.port.js';
import type { Bulkhead } from './bulkhead.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import type { PolicyFaults } from './faults/policy-faults.js';
import type { DeadlineQueue } from './deadline-queue.js';
import type { LatencySample } from './latency-sample.js';
import type { PolicyObserver } from './policy-observer.js';
import type { TokenBucket } from './token-bucket.js';

/** The parts of a policy that an attempt passes through; what is switched off is absent. */
export interface AttemptHost {
  readonly name: string;
  readonly clock: Clock;
  readonly queue: DeadlineQueue;
  readonly observer: PolicyObserver;
  readonly rateLimit: TokenBucket | undefined;
  readonly bulkhead: Bulkhead | undefined;
  readonly latency: LatencySample | undefined;
  /** Absent unless something goes wrong on purpose. */
  readonly faults: PolicyFaults | undefined;
  /** The application goes down: nothing new begins. */
  readonly draining: boolean;
  isFailure(error: unknown): boolean;
  isFailureResult(value: unknown): boolean;
}

/** What all attempts of one call share. Instants are monotonic. */
export interface AttemptScope<T> {
  readonly host: AttemptHost;
  readonly work: (attempt: Attempt) => PromiseLike<T> | T;
  readonly breaker: CircuitBreaker | undefined;
  readonly timeoutMs: number;
  readonly deadlineAt: number;
  /** Whether the deadline came from outside: what it cuts short early says nothing about the callee. */
  readonly deadlineInherited: boolean;
  readonly signal: AbortSignal | undefined;
  /** Whether this is the only attempt, whose outcome is the call's. */
  readonly single: boolean;
  /** Whether the attempt has given the caller an answer, although it has not ended. */
  hasAnswered(attempt: Attempt): boolean;
}
