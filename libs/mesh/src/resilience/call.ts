import type { Attempt } from '../core/policy.port.js';
import { AttemptRun } from './attempt-run.js';
import type { AttemptScope } from './attempt-scope.js';
import { backoffMs } from './backoff.js';
import type { CallHost } from './call-host.js';
import type { CallOptions } from './call-hooks.js';
import type { CircuitBreaker } from './circuit-breaker.js';
import { markAttempts, marksUntilNow } from './error-classification.js';
import { raceHedged } from './hedge.js';
import { Pause } from './pause.js';
import type { RetrySettings } from './policy-settings.js';
import type { RetryBudget } from './retry-budget.js';
import { cancelled } from './call-errors.js';

/** One `execute`: its limits, which all attempts share, and the decisions between attempts. */
export class Call<T> implements AttemptScope<T> {
  readonly breaker: CircuitBreaker | undefined;
  readonly timeoutMs: number;
  readonly deadlineAt: number;
  readonly deadlineInherited: boolean;
  readonly signal: AbortSignal | undefined;
  readonly single: boolean;
  // As they were when the call began, whatever is configured while it runs.
  private readonly retry: RetrySettings | false;
  private readonly budget: RetryBudget | undefined;
  readonly #startedAt: number;
  /** The errors that were marked before the attempt began. */
  #mark = 0;

  constructor(
    readonly host: CallHost,
    readonly work: (attempt: Attempt) => PromiseLike<T> | T,
    private readonly options: CallOptions<T> | undefined,
  ) {
    const now = host.clock.monotonic();
    this.#startedAt = now;
    this.signal = options?.signal;
    this.timeoutMs = options?.timeoutMs ?? host.timeoutMs;
    this.breaker = host.breakerFor(options?.key, now);
    this.retry = host.retry;
    this.budget = host.budget;
    this.single = this.retry === false && host.hedge === false;

    const ownAt = now + host.totalTimeoutMs;
    const inheritedAt = this.#inheritedAt(now);
    this.deadlineInherited = inheritedAt < ownAt;
    this.deadlineAt = this.deadlineInherited ? inheritedAt : ownAt;
  }

  run(): Promise<T> {
    if (this.single) return new AttemptRun(this, 1, this.#startedAt).start();
    this.budget?.countCall(this.#startedAt);
    if (this.host.hedge === false) return this.#withRetry();
    const mayHedge = (): boolean => this.idempotent && this.options?.mayRepeat?.() !== false;
    return raceHedged(this, this.host, this.host.hedge, mayHedge);
  }

  get idempotent(): boolean {
    return this.options?.idempotent ?? this.host.idempotent;
  }

  hasAnswered(attempt: Attempt): boolean {
    return this.options?.hasAnswered?.(attempt) ?? false;
  }

  async #withRetry(): Promise<T> {
    const { host } = this;
    for (let number = 1, now = this.#startedAt; ; number++, now = host.clock.monotonic()) {
      const attempt = new AttemptRun(this, number, now);
      this.#mark = marksUntilNow();
      let value: T | undefined;
      let error: unknown;
      let threw = false;
      try {
        value = await attempt.start();
      } catch (thrown) {
        error = thrown;
        threw = true;
      }
      // A value that counts as failure is worth another attempt, and an answer when there is none.
      if (attempt.outcome !== 'success' && (await this.#waitForRetry(number, error, threw))) continue;
      host.observer.count(attempt.outcome);
      if (!threw) return value as T;
      if (number > 1) markAttempts(error, number);
      throw error;
    }
  }

  /** Whether there is another attempt; if so, after the delay before it. */
  async #waitForRetry(number: number, error: unknown, threw: boolean): Promise<boolean> {
    const delayMs = this.#retryDelayMs(number, error, threw);
    if (delayMs === undefined) return false;
    const { host, signal } = this;
    host.observer.countRetry();
    host.observer.emit('call.retry', {
      policy: host.name,
      attempt: number,
      delayMs,
      ...(threw && { error }),
    });
    if (delayMs > 0) {
      const onAbort = (): Error => cancelled(host.name, signal?.reason);
      try {
        await new Pause(host.clock.monotonic() + delayMs, host.queue, signal, onAbort).over;
      } catch (given) {
        host.observer.count(signal?.aborted ? 'cancelled' : 'draining');
        throw given;
      }
    }
    return true;
  }

  #retryDelayMs(number: number, error: unknown, threw: boolean): number | undefined {
    const { host, retry, budget } = this;
    if (retry === false || number > retry.maxRetries || !this.#mayRepeat(error, threw)) return undefined;

    const askedMs = threw ? host.retryAfterMs(error) : 0;
    if (askedMs > retry.maxRetryAfterMs) return undefined;
    const delayMs = Math.max(askedMs, backoffMs(retry, number, host.random()));
    const now = host.clock.monotonic();
    if (now + delayMs >= this.deadlineAt) return undefined;
    if (budget && !budget.trySpend(now)) {
      host.observer.emit('call.retry-budget-exhausted', { policy: host.name, attempt: number });
      return undefined;
    }
    return delayMs;
  }

  #mayRepeat(error: unknown, threw: boolean): boolean {
    const { host, signal, options } = this;
    if (host.draining || signal?.aborted || options?.mayRepeat?.() === false) return false;
    if (!threw) return this.idempotent;
    return (this.idempotent || host.isUnsent(error)) && host.isRetryable(error, this.#mark);
  }

  #inheritedAt(now: number): number {
    const asked = this.options?.deadline;
    const inherited = this.host.inheritedDeadlineAt();
    if (asked === undefined && inherited === undefined) return Infinity;
    return now + Math.min(asked ?? Infinity, inherited ?? Infinity) - this.host.clock.now();
  }
}
