import type { Clock, Timer } from '../core/clock.js';
import type { LiveOptions } from '../core/live-options.js';
import type { MeshEventMap, MeshEvents, ShutdownPhase } from '../core/mesh.events.js';
import { Budget } from './budget.js';
import type { StartWave } from './component-graph.js';
import type { Drainable } from './drainable.js';
import type { LifecycleManager } from './lifecycle.manager.js';
import type { LifecycleOptions } from './lifecycle.options.js';
import { runStep, unlessAborted } from './step.js';

export interface ShutdownDependencies {
  readonly options: LiveOptions<LifecycleOptions>;
  readonly clock: Clock;
  readonly events: MeshEvents;
  readonly manager: LifecycleManager;
  /** Whether a load balancer has to learn first that this instance leaves. */
  readonly inKubernetes: boolean;
}

type Flush = () => Promise<void> | void;
type OnOverrun = (overrun: MeshEventMap['lifecycle.overrun']) => void;

/**
 * The way out, in two halves that Nest's hooks call: `drain` before any hook of the user's code, `stop` after all of
 * them. Each runs once, however often it is asked for, and both share one budget of time.
 */
export class ShutdownSequence {
  readonly #deps: ShutdownDependencies;
  /** As they are when the shutdown begins: a change during it has no effect. */
  #options: LifecycleOptions['shutdown'];
  readonly #drainables: Drainable[] = [];
  readonly #flushes: Flush[] = [];
  readonly #overruns: OnOverrun[] = [];
  readonly #hurry = new AbortController();
  readonly #abort = new AbortController();
  #phase: ShutdownPhase = 'start';
  #budget: Budget | undefined;
  #watchdog: Timer | undefined;
  #draining: Promise<void> | undefined;
  #drainedAt = 0;
  #stopping: Promise<void> | undefined;

  constructor(deps: ShutdownDependencies) {
    this.#deps = deps;
    this.#options = deps.options.current.shutdown;
  }

  /** Aborts when the time to finish by itself is over for work in flight. */
  get abortSignal(): AbortSignal {
    return this.#abort.signal;
  }

  addDrainable(drainable: Drainable): void {
    this.#drainables.push(drainable);
  }

  /** Adds what must be written before the process may end: log buffers. */
  addFlush(flush: Flush): void {
    this.#flushes.push(flush);
  }

  /** Calls back when the whole shutdown has taken longer than it may, after the event that says who hangs. */
  onOverrun(callback: OnOverrun): void {
    this.#overruns.push(callback);
  }

  /** A second signal: no pre-stop delay any more, and only a short rest of the drain. */
  hurry(): void {
    this.#hurry.abort(new Error('The shutdown was asked to hurry.'));
  }

  /** Starts the clock of the whole shutdown. Later calls change nothing. */
  begin(): Budget {
    if (this.#budget) return this.#budget;
    this.#options = this.#deps.options.current.shutdown;
    const budget = new Budget(this.#deps.clock, this.#options.totalMs);
    this.#budget = budget;
    // It keeps the process up: an event loop that runs empty in a hung step would end it as if all were well.
    this.#watchdog = this.#deps.clock.setTimer(() => this.#overrun(), budget.totalMs, { keepAlive: true });
    return budget;
  }

  /** Stops taking work and lets what runs finish. `skipPreStop`: nobody routes to this instance (Ctrl+C, a failed start). */
  drain({ skipPreStop }: { readonly skipPreStop: boolean }): Promise<void> {
    this.#draining ??= this.#drain(skipPreStop);
    return this.#draining;
  }

  /** Stops the components in reverse and flushes. `beforeFlush` is for the last line that the log shall show. */
  stop(beforeFlush: () => void): Promise<void> {
    this.#stopping ??= this.#stop(beforeFlush);
    return this.#stopping;
  }

  async #drain(skipPreStop: boolean): Promise<void> {
    const budget = this.begin();
    for (const drainable of this.#drainables) drainable.beginDrain?.();
    if (!skipPreStop && this.#preStopMs > 0) await this.#step('pre-stop', () => this.#pause(budget, this.#preStopMs));
    await this.#step('intake', () => this.#stopIntake(budget));
    await this.#step('drain', () => this.#drainAll(budget));
    if (this.#inFlight > 0) await this.#step('abort', () => this.#abortRest(budget));
    this.#phase = 'hooks';
    this.#drainedAt = this.#deps.clock.monotonic();
  }

  async #stop(beforeFlush: () => void): Promise<void> {
    const budget = this.begin();
    if (this.#draining) this.#report('hooks', this.#drainedAt, this.#inFlight, []);
    await this.#step('components', () => this.#deps.manager.stop(budget));
    beforeFlush();
    await this.#step('flush', () => this.#flush(budget));
    this.#watchdog?.cancel();
  }

  get #preStopMs(): number {
    const { preStop, preStopMs } = this.#options;
    return preStop === 'always' || (preStop === 'kubernetes' && this.#deps.inKubernetes) ? preStopMs : 0;
  }

  get #inFlight(): number {
    return this.#drainables.reduce((sum, { inFlight }) => sum + inFlight, 0);
  }

  /** Requests that are on their way over open connections still arrive; what answers them asks for a new connection. */
  async #stopIntake(budget: Budget): Promise<readonly string[]> {
    const connected = await Promise.all(this.#drainables.map((drainable) => drainable.connected?.() ?? true));
    if (connected.includes(true)) await this.#pause(budget, this.#options.intakeMs);
    const outcomes = await Promise.allSettled(this.#drainables.map(async (drainable) => drainable.stopIntake?.()));
    return this.#drainables.filter((_, index) => outcomes[index]!.status === 'rejected').map(({ name }) => name);
  }

  /**
   * Work from outside first: while it runs it may still call what the components serve. Then the components' own work,
   * that of the application's before that of the mesh's parts, which any of them may call.
   */
  async #drainAll(budget: Budget): Promise<readonly string[]> {
    const { drainMs, hurriedDrainMs } = this.#options;
    const drainBudget = new Budget(this.#deps.clock, budget.clip(drainMs));
    const outside = await this.#limited(drainBudget.remainingMs, async (signal) => {
      const outcomes = await this.#allDrained(signal);
      return this.#drainables.filter((_, index) => outcomes[index]!.status === 'rejected').map(({ name }) => name);
    });
    const inside = async (wave: StartWave): Promise<readonly string[]> => {
      const restMs = budget.clip(Math.max(drainBudget.remainingMs, hurriedDrainMs));
      const waveBudget = new Budget(this.#deps.clock, restMs);
      return this.#limited(restMs, (signal) => this.#deps.manager.drain(wave, waveBudget, signal));
    };
    return [...outside, ...(await inside('application')), ...(await inside('mesh'))];
  }

  async #abortRest(budget: Budget): Promise<readonly string[]> {
    const busy = this.#drainables.filter(({ inFlight }) => inFlight > 0).map(({ name }) => name);
    this.#abort.abort(new Error('The application stops and the time to finish is over.'));
    await this.#limited(budget.clip(this.#options.abortMs), async (signal) => {
      await this.#allDrained(signal);
      return [];
    });
    for (const drainable of this.#drainables) drainable.abort?.();
    return busy;
  }

  #allDrained(signal: AbortSignal): Promise<PromiseSettledResult<void>[]> {
    return Promise.allSettled(this.#drainables.map((drainable) => unlessAborted(drainable.drained(signal), signal)));
  }

  async #flush(budget: Budget): Promise<readonly string[]> {
    const limits = {
      clock: this.#deps.clock,
      what: 'flush of the logs',
      timeoutMs: budget.clip(this.#options.flushMs),
    };
    const outcomes = await Promise.allSettled(this.#flushes.map((flush) => runStep(limits, () => flush())));
    return outcomes.some(({ status }) => status === 'rejected') ? ['logs'] : [];
  }

  /** Runs `work` under a signal that aborts after `limitMs`, or `hurriedDrainMs` after the hurry began. */
  async #limited<T>(limitMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { clock } = this.#deps;
    const limit = new AbortController();
    const end = (): void => limit.abort(new Error('The time to finish is over.'));
    const timers = [clock.setTimer(end, limitMs)];
    const onHurry = (): void => void timers.push(clock.setTimer(end, this.#options.hurriedDrainMs));
    if (this.#hurry.signal.aborted) onHurry();
    else this.#hurry.signal.addEventListener('abort', onHurry, { once: true });
    try {
      return await work(limit.signal);
    } finally {
      for (const timer of timers) timer.cancel();
      this.#hurry.signal.removeEventListener('abort', onHurry);
    }
  }

  async #pause(budget: Budget, ms: number): Promise<readonly string[]> {
    try {
      await this.#deps.clock.sleep(budget.clip(ms), this.#hurry.signal);
    } catch (error) {
      if (!this.#hurry.signal.aborted) throw error;
    }
    return [];
  }

  async #step(phase: ShutdownPhase, work: () => Promise<readonly string[]>): Promise<void> {
    this.#phase = phase;
    const startedAt = this.#deps.clock.monotonic();
    const before = this.#inFlight;
    this.#report(phase, startedAt, before, await work());
  }

  #report(phase: ShutdownPhase, startedAt: number, inFlightBefore: number, unfinished: readonly string[]): void {
    this.#deps.events.emit('lifecycle.shutdown-phase', {
      phase,
      durationMs: this.#deps.clock.monotonic() - startedAt,
      inFlightBefore,
      inFlightAfter: this.#inFlight,
      unfinished,
    });
  }

  #overrun(): void {
    const work = this.#drainables.filter(({ inFlight }) => inFlight > 0);
    const hanging = [
      ...this.#deps.manager.busy().map((component) => `component ${component}`),
      ...work.map(({ name, inFlight }) => `${inFlight} in flight in ${name}`),
    ];
    if (this.#phase === 'start') hanging.push("a start hook of the application's own code");
    if (this.#phase === 'hooks') hanging.push("a shutdown hook of the application's own code");
    const overrun = { totalMs: this.#options.totalMs, phase: this.#phase, hanging };
    this.#deps.events.emit('lifecycle.overrun', overrun);
    for (const callback of this.#overruns) callback(overrun);
  }
}
