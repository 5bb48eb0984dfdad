import { MeshConfigError } from '../core/mesh.errors.js';
import type { Attempt, Policy } from '../core/policy.port.js';
import { Bulkhead } from './bulkhead.js';
import { Call } from './call.js';
import type { CallHost } from './call-host.js';
import type { CallOptions } from './call-hooks.js';
import type { BreakerHost, BreakerTransition, CircuitBreaker } from './circuit-breaker.js';
import { isCalleeFailure, isFallbackWorthy, isRepeatable, isUnsent, retryAfterMsOf } from './error-classification.js';
import type { FaultSettings } from './faults/configured-fault.js';
import type { FaultPlan, FaultView } from './faults/fault.js';
import { type FaultHost, PolicyFaults } from './faults/policy-faults.js';
import { KeyedBreakers } from './keyed-breakers.js';
import { LatencySample } from './latency-sample.js';
import { PolicyObserver } from './policy-observer.js';
import type { HedgeSettings, PolicySettings, RetrySettings } from './policy-settings.js';
import type { ResilienceEngine } from './resilience-engine.js';
import { POLICY_DEFAULTS } from './resilience.constants.js';
import type { PolicyPredicates } from './resilience.options.js';
import { RetryBudget } from './retry-budget.js';
import { TokenBucket } from './token-bucket.js';
import { wrapClient, type WrapOptions } from './wrap-client.js';

const NO_PREDICATES: PolicyPredicates = {};

/**
 * The handle of one named policy. Keep it: it stays valid while options change. Its parts live as long as it does; new
 * options are handed to them, so that no breaker, queue or bucket loses what it knows.
 */
export class ResiliencePolicy implements Policy, CallHost, BreakerHost, FaultHost {
  readonly observer: PolicyObserver;
  rateLimit: TokenBucket | undefined;
  bulkhead: Bulkhead | undefined;
  breakers: KeyedBreakers | undefined;
  budget: RetryBudget | undefined;
  latency: LatencySample | undefined;
  faults: PolicyFaults | undefined;
  #predicates: PolicyPredicates = NO_PREDICATES;
  // One object for all policies of a pattern.
  #settings!: PolicySettings;

  constructor(
    readonly name: string,
    readonly engine: ResilienceEngine,
    settings: PolicySettings,
  ) {
    this.observer = new PolicyObserver(name, engine);
    this.configure(settings);
  }

  /**
   * Runs `work` under the policy. Rejects with what `work` rejects with, or with a mesh error that says what refused it or
   * gave it up. Never throws synchronously.
   */
  execute<T>(work: (attempt: Attempt) => PromiseLike<T> | T, options?: CallOptions<T>): Promise<T> {
    if (options?.timeoutMs !== undefined && !(options.timeoutMs > 0))
      return this.#misused(
        `timeoutMs of a call through policy "${this.name}" is ${options.timeoutMs}; it must be above 0.`,
      );
    if (options?.deadline !== undefined && Number.isNaN(options.deadline))
      return this.#misused(
        `deadline of a call through policy "${this.name}" is NaN; it must be an instant in epoch ms.`,
      );
    const result = new Call(this, work, options).run();
    return options?.fallback === undefined
      ? result
      : this.#withFallback(result, options.fallback, options.fallbackWhen);
  }

  /** The same client with its asynchronous methods going through this policy. */
  wrap<T extends object>(client: T, options?: WrapOptions<T>): T {
    return wrapClient(this, client, options);
  }

  get timeoutMs(): number {
    return this.#settings.timeoutMs || Infinity;
  }

  get totalTimeoutMs(): number {
    return this.#settings.totalTimeoutMs || Infinity;
  }

  get retry(): RetrySettings | false {
    return this.#settings.retry;
  }

  get hedge(): HedgeSettings | false {
    return this.#settings.hedge;
  }

  get clock(): ResilienceEngine['clock'] {
    return this.engine.clock;
  }

  get ids(): ResilienceEngine['ids'] {
    return this.engine.ids;
  }

  get contexts(): ResilienceEngine['contexts'] {
    return this.engine.contexts;
  }

  get queue(): ResilienceEngine['queue'] {
    return this.engine.queue;
  }

  get draining(): boolean {
    return this.engine.draining;
  }

  get idempotent(): boolean {
    return this.#predicates.idempotent ?? false;
  }

  random(): number {
    return this.engine.ids.random();
  }

  inheritedDeadlineAt(): number | undefined {
    return this.engine.contexts.current()?.deadlineAt;
  }

  breakerFor(key: string | undefined, now: number): CircuitBreaker | undefined {
    return this.breakers?.get(key, now);
  }

  isFailure(error: unknown): boolean {
    const { isFailure = isCalleeFailure } = this.#predicates;
    try {
      return isFailure(error);
    } catch (thrown) {
      return this.#predicateFailed('isFailure', thrown);
    }
  }

  isFailureResult(value: unknown): boolean {
    const { isFailureResult } = this.#predicates;
    if (isFailureResult === undefined) return false;
    try {
      return isFailureResult(value);
    } catch (thrown) {
      return this.#predicateFailed('isFailureResult', thrown);
    }
  }

  isRetryable(error: unknown, mark: number): boolean {
    try {
      return isRepeatable(error, mark) && (this.#predicates.isRetryable?.(error) ?? true);
    } catch (thrown) {
      return !this.#predicateFailed('isRetryable', thrown);
    }
  }

  isUnsent(error: unknown): boolean {
    try {
      return isUnsent(error);
    } catch (thrown) {
      return !this.#predicateFailed('isUnsent', thrown);
    }
  }

  retryAfterMs(error: unknown): number {
    try {
      return retryAfterMsOf(error, this.engine.clock.now()) ?? 0;
    } catch (thrown) {
      this.#predicateFailed('retryAfterMs', thrown);
      return 0;
    }
  }

  onTransition(breaker: CircuitBreaker, transition: BreakerTransition): void {
    this.observer.countTransition(transition.from, transition.to);
    if (transition.to === 'open') this.engine.onOpened?.(breaker);
    this.observer.emit('breaker.transition', {
      policy: this.name,
      ...(breaker.key !== undefined && { key: breaker.key }),
      ...transition,
    });
  }

  /** What goes wrong with its calls on purpose. */
  get fault(): FaultView | undefined {
    return this.faults?.view();
  }

  onFaultsGone(): void {
    this.faults = undefined;
  }

  /** Lets the plan decide what goes wrong with each attempt, until the result is disposed. The latest plan decides alone. */
  injectFaults(plan: FaultPlan): Disposable {
    const lift = (this.faults ??= new PolicyFaults(this)).inject(plan);
    return { [Symbol.dispose]: lift };
  }

  /** Sets what code declares about the function; configuration can't. */
  declare(predicates: PolicyPredicates): void {
    this.#predicates = predicates;
  }

  /** Takes new options over; running calls finish with the old ones. */
  configure(settings: PolicySettings): void {
    const now = this.engine.clock.monotonic();
    const { retry, rateLimit, bulkhead, circuitBreaker, hedge, fault } = settings;
    this.#settings = settings;

    if (rateLimit === false) this.rateLimit = undefined;
    else if (this.rateLimit) this.rateLimit.configure(rateLimit, now);
    else this.rateLimit = new TokenBucket(rateLimit, now);

    // A bulkhead that is switched off still lets its queue in, then is forgotten by the calls that hold its slots.
    if (bulkhead === false) {
      this.bulkhead?.configure({ maxConcurrent: Infinity, maxQueued: 0, maxWaitMs: 1 });
      this.bulkhead = undefined;
    } else if (this.bulkhead) this.bulkhead.configure(bulkhead);
    else this.bulkhead = new Bulkhead(bulkhead);

    if (circuitBreaker === false) {
      this.breakers?.dispose();
      this.breakers = undefined;
    } else if (this.breakers) this.breakers.configure(circuitBreaker);
    else this.breakers = new KeyedBreakers(this, circuitBreaker);

    const budget = retry === false ? hedge !== false && POLICY_DEFAULTS.retry.budget : retry.budget;
    if (budget === false) this.budget = undefined;
    else if (this.budget) this.budget.configure(budget);
    else this.budget = new RetryBudget(budget);

    if (hedge === false || hedge.delayMs !== 'p95') this.latency = undefined;
    else this.latency ??= new LatencySample();

    this.#configureFaults(fault);
  }

  /** Takes part in nothing any more. */
  dispose(): void {
    this.breakers?.dispose();
    this.faults?.dispose();
    this.observer.dispose();
  }

  /** Whether a fallback may answer for this error; it is counted and reported when it may. */
  admitsFallback(error: unknown, fallbackWhen: (error: unknown) => boolean = isFallbackWorthy): boolean {
    if (!this.#answers(fallbackWhen, error)) return false;
    this.observer.count('fallback');
    this.observer.emit('call.fallback', { policy: this.name, error });
    return true;
  }

  #misused(message: string): Promise<never> {
    return Promise.reject(new MeshConfigError(message));
  }

  #configureFaults(fault: FaultSettings | false): void {
    const inForce = fault !== false && Date.parse(fault.until) > this.engine.clock.now() && fault;
    if (inForce) this.faults ??= new PolicyFaults(this);
    this.faults?.configure(inForce);
  }

  async #withFallback<T>(
    result: Promise<T>,
    fallback: (error: unknown) => PromiseLike<T> | T,
    fallbackWhen?: (error: unknown) => boolean,
  ): Promise<T> {
    try {
      return await result;
    } catch (error) {
      if (!this.admitsFallback(error, fallbackWhen)) throw error;
      return await fallback(error);
    }
  }

  /** A predicate that throws - the user's, or ours on an error whose properties do - counts as a yes, and is told of. */
  #predicateFailed(predicate: string, error: unknown): true {
    this.observer.emit('policy.predicate-failed', { policy: this.name, predicate, error });
    return true;
  }

  #answers(fallbackWhen: (error: unknown) => boolean, error: unknown): boolean {
    try {
      return fallbackWhen(error);
    } catch (thrown) {
      return this.#predicateFailed('fallbackWhen', thrown);
    }
  }
}
