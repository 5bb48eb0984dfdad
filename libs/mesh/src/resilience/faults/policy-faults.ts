import type { CallContexts } from '../../core/call-context.js';
import type { Clock, Timer } from '../../core/clock.js';
import type { Attempt } from '../../core/policy.port.js';
import { enterAttempt } from '../call-signal.js';
import type { PolicyObserver } from '../policy-observer.js';
import { MAX_DURATION_MS } from '../resilience.constants.js';
import { configuredPlan, describeFault, type FaultSettings, isSameFault } from './configured-fault.js';
import type { Fault, FaultPlan, FaultView } from './fault.js';

export interface FaultHost {
  readonly name: string;
  readonly clock: Clock;
  readonly contexts: CallContexts;
  readonly observer: PolicyObserver;
  random(): number;
  /** Nothing goes wrong on purpose any more: attempts need not come here. */
  onFaultsGone(): void;
}

interface Configured {
  readonly settings: FaultSettings;
  readonly plan: FaultPlan;
  readonly until: number;
}

/**
 * What goes wrong with a policy's attempts on purpose: the last stage before the function, so that timeout, breaker and
 * retry see it as they would see a failing callee. A policy has one only while a fault is in force.
 */
export class PolicyFaults {
  // The latest one decides; what configuration asks for waits until code has lifted its own.
  readonly #injected: FaultPlan[] = [];
  // What ends each attempt's wait, and the plan that made it wait.
  readonly #waiting = new Map<() => void, FaultPlan>();
  #configured: Configured | undefined;
  #timer: Timer | undefined;

  constructor(private readonly host: FaultHost) {}

  /** Runs the attempt's work, unless it is to fail; waits before that, if it is to be slow. */
  run<T>(attempt: Attempt, work: (attempt: Attempt) => PromiseLike<T> | T): PromiseLike<T> | T {
    const plan = this.#injected.at(-1) ?? this.#configured?.plan;
    const fault = plan?.(attempt);
    if (plan && fault?.delayMs) return this.#runLater(attempt, work, { fault, plan });
    return this.#run(attempt, work, fault);
  }

  /** Takes the configured fault over; one that is over already is none. */
  configure(settings: FaultSettings | false): void {
    if (settings === false) return this.#endConfigured('the configuration no longer asks for it');
    if (this.#configured && isSameFault(this.#configured.settings, settings)) return;
    const { host } = this;
    const until = Date.parse(settings.until);
    const previous = this.#configured?.plan;
    this.#configured = { settings, plan: configuredPlan(settings, host.name, () => host.random()), until };
    host.observer.emit('policy.fault', { policy: host.name, state: 'on', what: describeFault(settings), until });
    this.#armEnd(until);
    if (previous) this.#letGo(previous);
  }

  /** Puts a plan in force, above what configuration asks for, until the returned function is called. */
  inject(plan: FaultPlan): () => void {
    // A function of its own, so that the same plan may be injected twice.
    const injected: FaultPlan = (attempt) => plan(attempt);
    this.#injected.push(injected);
    return () => {
      const index = this.#injected.indexOf(injected);
      if (index < 0) return;
      this.#injected.splice(index, 1);
      this.#lifted(injected);
    };
  }

  view(): FaultView | undefined {
    if (this.#injected.length > 0) return { what: 'as code says' };
    return this.#configured && { what: describeFault(this.#configured.settings), until: this.#configured.until };
  }

  dispose(): void {
    this.#injected.length = 0;
    this.#timer?.cancel();
    this.#configured = undefined;
    for (const end of this.#waiting.keys()) end();
    this.host.onFaultsGone();
  }

  #run<T>(
    attempt: Attempt,
    work: (attempt: Attempt) => PromiseLike<T> | T,
    fault: Fault | undefined,
  ): PromiseLike<T> | T {
    if (fault?.error === undefined) return enterAttempt(attempt, work);
    this.host.observer.injected('error', attempt.attempt);
    throw fault.error;
  }

  async #runLater<T>(
    attempt: Attempt,
    work: (attempt: Attempt) => PromiseLike<T> | T,
    { fault, plan }: { readonly fault: Fault; readonly plan: FaultPlan },
  ): Promise<T> {
    const delayMs = fault.delayMs!;
    this.host.observer.injected(delayMs === Infinity ? 'hang' : 'delay', attempt.attempt);
    await this.#wait(plan, delayMs, attempt.signal);
    // Given up meanwhile: nobody waits for the function to run.
    attempt.signal.throwIfAborted();
    return this.#run(attempt, work, fault);
  }

  #wait(plan: FaultPlan, delayMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        timer?.cancel();
        this.#waiting.delete(end);
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = delayMs === Infinity ? undefined : this.host.clock.setTimer(end, delayMs);
      this.#waiting.set(end, plan);
      signal.addEventListener('abort', end);
    });
  }

  #armEnd(until: number): void {
    const { clock, contexts } = this.host;
    this.#timer?.cancel();
    const delayMs = Math.min(MAX_DURATION_MS, Math.max(0, until - clock.now()));
    // The policy may have come into being in a request, which has nothing to do with the end of the fault.
    this.#timer = contexts.exit(() => clock.setTimer(() => this.#atEnd(until), delayMs));
  }

  /** The machine's clock may have been set since the timer was, and the longest timers are shorter than a fault may be. */
  #atEnd(until: number): void {
    if (this.host.clock.now() < until) this.#armEnd(until);
    else this.#endConfigured('its time is over');
  }

  #endConfigured(reason: string): void {
    if (!this.#configured) return;
    const { host } = this;
    const { settings, plan } = this.#configured;
    host.observer.emit('policy.fault', {
      policy: host.name,
      state: 'off',
      what: describeFault(settings),
      reason,
    });
    this.#timer?.cancel();
    this.#configured = undefined;
    this.#lifted(plan);
  }

  /** Attempts that wait for a plan which is no longer in force go on to the function. */
  #letGo(plan: FaultPlan): void {
    for (const [end, its] of this.#waiting) if (its === plan) end();
  }

  #lifted(plan: FaultPlan): void {
    this.#letGo(plan);
    if (this.#injected.length === 0 && !this.#configured) this.host.onFaultsGone();
  }
}
