import type { Clock } from '../core/clock.js';
import type { ComponentState, MeshComponent, StopContext } from '../core/component.port.js';
import type { LiveOptions } from '../core/live-options.js';
import type { MeshEvents } from '../core/mesh.events.js';
import type { Budget } from './budget.js';
import type { GraphNode, StartWave } from './component-graph.js';
import type { LifecycleOptions } from './lifecycle.options.js';
import { runStep, unlessAborted } from './step.js';

export interface ManagedDependencies {
  readonly clock: Clock;
  readonly events: MeshEvents;
  readonly options: LiveOptions<LifecycleOptions>;
}

/** What the component waited for before it could start: the dependency that came up last. */
export interface StartWait {
  readonly waitedMs: number;
  readonly waitedFor?: string;
}

/** One component with its state: runs its steps in time and tells the bus. The order is the manager's business. */
export class ManagedComponent implements GraphNode {
  readonly #deps: ManagedDependencies;
  #state: ComponentState = 'registered';
  /** The last run of `start`, also one that nobody waits for any more. */
  #starting: Promise<unknown> = Promise.resolve();
  #attempts = 0;
  startMs: number | undefined;
  stopMs: number | undefined;
  wait: StartWait | undefined;
  error: unknown;

  constructor(
    readonly component: MeshComponent,
    readonly wave: StartWave,
    deps: ManagedDependencies,
  ) {
    this.#deps = deps;
  }

  get name(): string {
    return this.component.name;
  }

  get state(): ComponentState {
    return this.#state;
  }

  get attempts(): number {
    return this.#attempts;
  }

  get required(): boolean {
    return (this.component.criticality ?? 'required') === 'required';
  }

  /** Rejects with what the component's start rejects with, or a {@link StepTimeoutError}; the caller then says what state it is in. */
  async start(signal: AbortSignal, wait: StartWait): Promise<void> {
    const { clock, options, events } = this.#deps;
    // A start that ran into its timeout may still be running: two of one component would fight over its resources.
    await unlessAborted(this.#starting, signal);
    this.#attempts++;
    this.wait = wait;
    this.#enter('starting');
    const startedAt = clock.monotonic();
    const limits = {
      clock,
      what: `start of component "${this.name}"`,
      timeoutMs: this.component.timeouts?.startMs ?? options.current.start.componentMs,
      signal,
      graceMs: this.#stopLimitMs,
    };
    try {
      await runStep(limits, (stepSignal) => {
        const run = Promise.resolve(this.component.start?.({ signal: stepSignal }));
        this.#starting = run.catch(() => undefined);
        return run;
      });
      this.startMs = clock.monotonic() - startedAt;
      this.error = undefined;
      this.#enter('running');
      events.emit('lifecycle.step', {
        component: this.name,
        step: 'start',
        outcome: 'ok',
        durationMs: this.startMs,
        ...wait,
      });
    } catch (error) {
      this.startMs = clock.monotonic() - startedAt;
      this.error = error;
      events.emit('lifecycle.step', {
        component: this.name,
        step: 'start',
        outcome: 'failed',
        durationMs: this.startMs,
        error,
        ...wait,
      });
      throw error;
    }
  }

  /** It is not up and the application runs without it. */
  degrade(error: unknown): void {
    this.error = error;
    this.#enter('degraded');
  }

  fail(error: unknown): void {
    this.error = error;
    this.#enter('failed');
  }

  /** Lets the running work finish. Resolves whether it did: a component that fails here still gets its stop. */
  async drain(budget: Budget, signal: AbortSignal): Promise<boolean> {
    if (this.#state !== 'running' || !this.component.drain) return true;
    this.#enter('draining');
    const limitMs = this.component.timeouts?.drainMs ?? this.#deps.options.current.shutdown.drainMs;
    const ok = await this.#end('drain', budget.clip(limitMs), signal, (c) => this.component.drain?.(c), 'shutdown');
    this.#enter('drained');
    return ok;
  }

  /** Stops what has begun, once. Resolves whether it went well. */
  async stop(budget: Budget, reason: StopContext['reason']): Promise<boolean> {
    if (this.#state === 'stopped' || this.#state === 'stopping') return true;
    if (this.#attempts === 0) {
      this.#enter('stopped');
      return true;
    }
    const failed = this.#state === 'failed';
    this.#enter('stopping');
    const startedAt = this.#deps.clock.monotonic();
    const ok = await this.#end(
      'stop',
      budget.clip(this.#stopLimitMs),
      undefined,
      (c) => this.component.stop?.(c),
      reason,
    );
    this.stopMs = this.#deps.clock.monotonic() - startedAt;
    this.#enter(failed || !ok ? 'failed' : 'stopped');
    return ok;
  }

  /** Frees what a failed start left half open, before the next one. */
  async release(budget: Budget): Promise<void> {
    await this.#end('stop', budget.clip(this.#stopLimitMs), undefined, (c) => this.component.stop?.(c), 'rollback');
  }

  get #stopLimitMs(): number {
    return this.component.timeouts?.stopMs ?? this.#deps.options.current.shutdown.componentMs;
  }

  async #end(
    step: 'drain' | 'stop',
    timeoutMs: number,
    signal: AbortSignal | undefined,
    work: (context: StopContext) => Promise<void> | void,
    reason: StopContext['reason'],
  ): Promise<boolean> {
    const { clock, events } = this.#deps;
    const startedAt = clock.monotonic();
    const deadlineAt = clock.now() + timeoutMs;
    const what = `${step} of component "${this.name}"`;
    const emit = (outcome: 'ok' | 'failed', error?: unknown): void =>
      events.emit('lifecycle.step', {
        component: this.name,
        step,
        outcome,
        durationMs: clock.monotonic() - startedAt,
        ...(outcome === 'failed' && { error }),
      });
    try {
      await runStep({ clock, what, timeoutMs, signal }, (stepSignal) =>
        work({ signal: stepSignal, reason, deadlineAt }),
      );
      emit('ok');
      return true;
    } catch (error) {
      this.error = error;
      emit('failed', error);
      return false;
    }
  }

  #enter(to: ComponentState): void {
    const from = this.#state;
    if (from === to) return;
    this.#state = to;
    this.#deps.events.emit('lifecycle.state', { component: this.name, from, to });
  }
}
