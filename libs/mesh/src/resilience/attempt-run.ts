import { AsyncLocalStorage } from 'node:async_hooks';
import type { Attempt } from '../core/policy.port.js';
import type { Bulkhead, Waiter } from './bulkhead.js';
import {
  attemptTimedOut,
  bulkheadFull,
  cancelled,
  draining,
  outOfTime,
  rateLimited,
  refusedBy,
} from './call-errors.js';
import { enterAttempt } from './call-signal.js';
import type { AttemptScope } from './attempt-scope.js';
import { REFUSED } from './circuit-breaker.js';
import type { Expiring } from './deadline-queue.js';
import type { Outcome } from './policy-observer.js';
import { DEADLINE_EVIDENCE_MS } from './resilience.constants.js';
import { isThenable } from './return-kind.js';

const SETTLED = Promise.resolve();

const WAITING = 0;
const RUNNING = 1;
/** Given up, but the function still runs and keeps its slot. */
const LATE = 2;
const OVER = 3;

/**
 * One attempt on its way through rate limit, bulkhead, breaker and timeout to the function, and its outcome on the way
 * back. One object plays every part - the attempt that the function sees, the waiter in the bulkhead, the entry in the
 * deadline queue, the listener on the caller's signal - so that a call allocates little.
 */
export class AttemptRun<T> implements Attempt, Expiring, Waiter {
  expiresAt = Infinity;
  heapIndex = -1;
  outcome: Outcome = 'success';
  #phase = WAITING;
  #permit = REFUSED;
  #bulkhead: Bulkhead | undefined;
  #controller: AbortController | undefined;
  #abortReason: unknown;
  #resume: ReturnType<typeof AsyncLocalStorage.snapshot> | undefined;
  #resolve!: (value: T) => void;
  #reject!: (error: unknown) => void;

  constructor(
    private readonly scope: AttemptScope<T>,
    readonly attempt: number,
    private startedAt: number,
  ) {}

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  get waiting(): boolean {
    return this.#phase === WAITING;
  }

  get remainingMs(): number {
    return Math.max(0, this.expiresAt - this.scope.host.clock.monotonic());
  }

  /** To be called once. Settles with what the function settles with, or with why it did not run or was given up. */
  start(): Promise<T> {
    const { host, breaker, deadlineAt, signal } = this.scope;
    const now = this.startedAt;
    const { name, rateLimit, bulkhead } = host;
    if (host.draining) return this.#refuse('draining', draining(name));
    if (signal?.aborted) return this.#refuse('cancelled', cancelled(name, signal.reason));
    if (now >= deadlineAt) return this.#refuse('deadline', outOfTime(name, 'no time was left before the attempt'));
    if (rateLimit && !rateLimit.tryTake(now))
      return this.#refuse('ratelimit', rateLimited(name, rateLimit.retryAfterMs(now)));
    if (bulkhead) {
      if (!bulkhead.tryEnter()) return this.#enqueue(bulkhead, now);
      this.#bulkhead = bulkhead;
    }
    if (breaker) {
      this.#permit = breaker.tryAcquire(now);
      if (this.#permit === REFUSED) {
        bulkhead?.release();
        return this.#refuse(breaker.holdReason === undefined ? 'open' : 'isolated', refusedBy(breaker, now));
      }
    }
    return new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      signal?.addEventListener('abort', this);
      this.#run(now);
    });
  }

  /** The bulkhead has a slot for it: re-checks the breaker, which may have opened meanwhile. */
  admit(): void {
    const { host } = this.scope;
    host.queue.remove(this);
    this.#bulkhead = host.bulkhead;
    this.#resume!(() => {
      const now = host.clock.monotonic();
      const { breaker, deadlineAt } = this.scope;
      // The event loop was blocked: the timer that would have ended it has not fired yet.
      if (now >= deadlineAt) {
        this.#giveUp('deadline', outOfTime(host.name, 'it passed in the queue of the bulkhead'), now);
        return this.#freeSlot();
      }
      if (breaker) this.#permit = breaker.tryAcquire(now);
      if (!breaker || this.#permit !== REFUSED) return this.#run(now);
      const outcome = breaker.holdReason === undefined ? 'open' : 'isolated';
      this.#giveUp(outcome, refusedBy(breaker, now), now);
      this.#freeSlot();
    });
  }

  /** Its time is over: the wait in the queue, the attempt, or the whole call. */
  expire(now: number): void {
    const { host, deadlineAt, deadlineInherited, breaker } = this.scope;
    const byDeadline = this.expiresAt >= deadlineAt;
    if (this.#phase === WAITING) {
      host.bulkhead?.leaveQueue(this);
      if (byDeadline)
        return this.#giveUp('deadline', outOfTime(host.name, 'it passed in the queue of the bulkhead'), now);
      const waited = `no slot came free within ${Math.ceil(now - this.startedAt)} ms (maxWaitMs)`;
      return this.#giveUp('bulkhead', bulkheadFull(host.name, waited), now);
    }

    const afterMs = now - this.startedAt;
    const evident = !byDeadline || !deadlineInherited || afterMs >= DEADLINE_EVIDENCE_MS;
    if (evident) breaker?.record(this.#permit, true, afterMs, now);
    else breaker?.forget(this.#permit);
    host.observer.observeDuration(afterMs);
    host.observer.emit('call.timeout', { policy: host.name, attempt: this.attempt, afterMs });
    if (byDeadline) this.#giveUp('deadline', outOfTime(host.name, `attempt ${this.attempt} was still running`), now);
    else this.#giveUp('timeout', attemptTimedOut(host.name, afterMs), now);
  }

  /** The caller's signal aborted. */
  handleEvent(): void {
    const { scope } = this;
    const error = cancelled(scope.host.name, scope.signal?.reason);
    if (this.#phase === RUNNING && scope.hasAnswered(this)) this.#endAnswered(error);
    else this.cancel(error);
  }

  abandon(error: Error): void {
    this.cancel(error, 'draining');
  }

  /** Ends it for a reason that says nothing about the callee. */
  cancel(error: Error, outcome: Outcome = 'cancelled'): void {
    if (this.#phase >= LATE) return;
    const { host, breaker } = this.scope;
    host.queue.remove(this);
    if (this.#phase === WAITING) host.bulkhead?.leaveQueue(this);
    else breaker?.forget(this.#permit);
    this.#giveUp(outcome, error, host.clock.monotonic());
  }

  #run(now: number): void {
    const { host, work, timeoutMs, deadlineAt } = this.scope;
    this.#phase = RUNNING;
    this.startedAt = now;
    this.expiresAt = Math.min(now + timeoutMs, deadlineAt);
    host.queue.add(this);
    let result: PromiseLike<T> | T;
    try {
      result = host.faults === undefined ? enterAttempt(this, work) : host.faults.run(this, work);
      // A foreign thenable may misbehave in any way; a promise of our own settles at most once.
      if (!(result instanceof Promise) && isThenable(result)) result = Promise.resolve(result);
      if (result instanceof Promise) {
        (result as Promise<T>).then(
          (value) => this.#onValue(value),
          (error: unknown) => this.#onError(error),
        );
        return;
      }
    } catch (error) {
      return this.#onError(error);
    }
    this.#onValue(result as T);
  }

  #onValue(value: T): void {
    if (this.#phase !== RUNNING) return this.#onLate(false);
    const { host, breaker, single } = this.scope;
    const now = host.clock.monotonic();
    const failed = host.isFailureResult(value);
    const durationMs = now - this.startedAt;
    breaker?.record(this.#permit, failed, durationMs, now);
    host.latency?.add(durationMs);
    host.observer.observeDuration(durationMs);
    if (failed) this.outcome = 'failure';
    if (single) host.observer.count(this.outcome);
    this.#leave();
    this.#resolve(value);
    this.#freeSlot();
  }

  #onError(error: unknown): void {
    if (this.#phase !== RUNNING) return this.#onLate(true);
    const { host, breaker, single } = this.scope;
    const now = host.clock.monotonic();
    const durationMs = now - this.startedAt;
    if (host.isFailure(error)) {
      this.outcome = 'failure';
      breaker?.record(this.#permit, true, durationMs, now);
    } else {
      this.outcome = 'ignored';
      breaker?.forget(this.#permit);
    }
    host.observer.observeDuration(durationMs);
    if (single) host.observer.count(this.outcome);
    this.#leave();
    this.#reject(error);
    this.#freeSlot();
  }

  /** The caller wants no more of an answer than it has. */
  #endAnswered(error: Error): void {
    const { host, breaker } = this.scope;
    const now = host.clock.monotonic();
    const durationMs = now - this.startedAt;
    host.queue.remove(this);
    breaker?.record(this.#permit, false, durationMs, now);
    host.latency?.add(durationMs);
    host.observer.observeDuration(durationMs);
    this.#giveUp('success', error, now);
  }

  /** The function came back after everybody had stopped waiting: only now is its slot free. */
  #onLate(failed: boolean): void {
    if (this.#phase !== LATE) return;
    this.#phase = OVER;
    const { host } = this.scope;
    if (this.outcome === 'timeout' || this.outcome === 'deadline') {
      const afterMs = host.clock.monotonic() - this.startedAt;
      host.observer.emit('call.late', { policy: host.name, attempt: this.attempt, afterMs, failed });
    }
    this.#freeSlot();
  }

  #giveUp(outcome: Outcome, error: Error, now: number): void {
    const { host, breaker, signal, single } = this.scope;
    this.outcome = outcome;
    this.#phase = this.#phase === RUNNING ? LATE : OVER;
    signal?.removeEventListener('abort', this);
    if (single) host.observer.count(outcome);
    if (this.#phase === OVER) host.observer.rejected(outcome, breaker?.key, now);
    this.#abortReason = error;
    this.#controller?.abort(error);
    this.#reject(error);
  }

  #refuse(outcome: Outcome, error: Error): Promise<never> {
    const { host, breaker, single } = this.scope;
    this.outcome = outcome;
    this.#phase = OVER;
    if (single) host.observer.count(outcome);
    host.observer.rejected(outcome, breaker?.key, this.startedAt);
    // One microtask later the caller has its handler on: a promise that is born rejected is reported to the process as
    // unhandled and taken back again, which costs more than all the rest of a refusal.
    return new Promise((_resolve, reject) => void SETTLED.then(() => reject(error)));
  }

  #enqueue(bulkhead: Bulkhead, now: number): Promise<T> {
    const { host, deadlineAt, signal } = this.scope;
    if (!bulkhead.tryQueue(this)) return this.#refuse('bulkhead', bulkheadFull(host.name, bulkhead.describe()));
    this.expiresAt = Math.min(now + bulkhead.maxWaitMs, deadlineAt);
    // The slot comes from another call, in that call's async context.
    this.#resume = AsyncLocalStorage.snapshot();
    host.queue.add(this);
    signal?.addEventListener('abort', this);
    return new Promise<T>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  #leave(): void {
    this.#phase = OVER;
    this.scope.host.queue.remove(this);
    this.scope.signal?.removeEventListener('abort', this);
  }

  #freeSlot(): void {
    const bulkhead = this.#bulkhead;
    if (!bulkhead) return;
    this.#bulkhead = undefined;
    bulkhead.release();
  }
}
