import type { Clock } from '../core/clock.js';
import type { MeshComponent, StopContext } from '../core/component.port.js';
import type { Ids } from '../core/ids.js';
import type { LiveOptions } from '../core/live-options.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { MeshEvents } from '../core/mesh.events.js';
import { Budget } from './budget.js';
import { ComponentGraph, type StartWave } from './component-graph.js';
import { ComponentStartError, StepTimeoutError } from './lifecycle.errors.js';
import type { LifecycleOptions } from './lifecycle.options.js';
import { componentReport, graphDot, type ComponentReport } from './lifecycle.report.js';
import { ManagedComponent, type StartWait } from './managed-component.js';

export interface LifecycleDependencies {
  readonly options: LiveOptions<LifecycleOptions>;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly events: MeshEvents;
}

/**
 * Starts the components in the order of their dependencies, each as soon as its own are up, and stops them in reverse:
 * all of the application's before any of the mesh's.
 * A required component that fails takes the start back; an optional one is retried in the background.
 */
export class LifecycleManager {
  readonly #deps: LifecycleDependencies;
  readonly #components: ManagedComponent[] = [];
  readonly #waves = new Map<StartWave, Promise<void>>();
  readonly #retries = new Set<Promise<void>>();
  /** Aborts whatever still starts: when the start is called off, and when the stop begins. */
  readonly #lifetime = new AbortController();
  /** The last valid one: what it does not have yet has not started. */
  #graph: ComponentGraph | undefined;
  #startSpentMs = 0;
  #stopping: Promise<readonly string[]> | undefined;

  constructor(deps: LifecycleDependencies) {
    this.#deps = deps;
  }

  /**
   * Adds a component. Its name and dependencies are checked when the start begins, all at once.
   * @throws {MeshConfigError} when the components of its wave have begun to start.
   */
  register(component: MeshComponent, wave: StartWave = 'application'): void {
    if (this.#waves.has(wave))
      throw new MeshConfigError(
        `Component "${component.name}" came too late: the components of its wave have already begun to start. ` +
          'Register it in a constructor or in onModuleInit.',
      );
    this.#components.push(new ManagedComponent(component, wave, this.#deps));
  }

  /**
   * Starts the components of one wave, once however often it is called.
   * @throws {ComponentGraphError} before anything starts, when there is no order.
   * @throws {ComponentStartError} after everything that had started was stopped again.
   */
  start(wave: StartWave): Promise<void> {
    const running = this.#waves.get(wave) ?? this.#startWave(wave);
    this.#waves.set(wave, running);
    return running;
  }

  /** Calls the start off: what is starting is aborted, what has started is stopped, and `start` rejects with `reason`. */
  abortStart(reason: Error): void {
    this.#lifetime.abort(reason);
  }

  /**
   * Lets every component of one wave finish its work, each after those that depend on it: their work may still call it.
   * Resolves with the names of those that did not finish in time.
   */
  drain(wave: StartWave, budget: Budget, signal: AbortSignal): Promise<readonly string[]> {
    return this.#inReverse(wave, (component) => component.drain(budget, signal));
  }

  /** Stops every component after those that depend on it. Resolves with the names of those that failed to. */
  stop(budget: Budget, reason: StopContext['reason'] = 'shutdown'): Promise<readonly string[]> {
    this.#stopping ??= this.#stopAll(budget, reason);
    return this.#stopping;
  }

  /** Takes the start back: stops what has started. */
  async rollBack(): Promise<void> {
    await this.stop(new Budget(this.#deps.clock, this.#deps.options.current.shutdown.totalMs), 'rollback');
  }

  components(): readonly MeshComponent[] {
    return this.#components.map(({ component }) => component);
  }

  /** Every component in start order with its state, its times and what it waited for. */
  report(): readonly ComponentReport[] {
    const graph = this.#validGraph();
    return graph.order.map((name) => componentReport(this.#find(name), graph));
  }

  /** The graph of the components for Graphviz: an arrow points from a component to what it waits for. */
  toDot(): string {
    return graphDot(this.report());
  }

  /** The components that are in the middle of a step: who hangs, when a budget is over. */
  busy(): readonly string[] {
    const midStep = new Set(['starting', 'draining', 'stopping']);
    return this.#components.filter(({ state }) => midStep.has(state)).map(({ name, state }) => `${name} (${state})`);
  }

  async #startWave(wave: StartWave): Promise<void> {
    try {
      await this.#runWave(wave);
    } catch (error) {
      await this.rollBack();
      throw error;
    }
  }

  async #runWave(wave: StartWave): Promise<void> {
    const graph = this.#validGraph();
    const { clock, options } = this.#deps;
    this.#lifetime.signal.throwIfAborted();
    const run = new AbortController();
    const callOff = (): void => run.abort(this.#lifetime.signal.reason);
    this.#lifetime.signal.addEventListener('abort', callOff, { once: true });
    const startedAt = clock.monotonic();
    const { totalMs } = options.current.start;
    // Nest has no timeout: without a timer that keeps the process, a start that hangs on nothing ends it without a word.
    const limit = clock.setTimer(() => run.abort(this.#tooSlow(totalMs)), Math.max(0, totalMs - this.#startSpentMs), {
      keepAlive: true,
    });

    const settled = new Map<string, Promise<void>>();
    for (const name of graph.order) {
      const component = this.#find(name);
      if (component.wave === wave) settled.set(name, this.#startAfter(component, graph, settled, run));
    }
    await Promise.all(settled.values());

    limit.cancel();
    this.#lifetime.signal.removeEventListener('abort', callOff);
    this.#startSpentMs += clock.monotonic() - startedAt;
    run.signal.throwIfAborted();
  }

  /** Never rejects: a failure that counts aborts `run`, whose reason the wave then throws. */
  async #startAfter(
    component: ManagedComponent,
    graph: ComponentGraph,
    settled: ReadonlyMap<string, Promise<void>>,
    run: AbortController,
  ): Promise<void> {
    const { clock } = this.#deps;
    const startedAt = clock.monotonic();
    const wait = await this.#untilSettled(graph.dependenciesOf(component.name), settled, startedAt);
    if (run.signal.aborted) return;
    const attemptAt = clock.monotonic();
    try {
      this.#refuseBlocked(component);
      await component.start(run.signal, wait);
    } catch (error) {
      const calledOff = run.signal.aborted;
      if (calledOff || component.required) component.fail(error);
      else component.degrade(error);
      if (calledOff) return;
      if (component.required) run.abort(new ComponentStartError(component.name, clock.monotonic() - attemptAt, error));
      else this.#retryInBackground(component);
    }
  }

  async #untilSettled(
    dependencies: readonly string[],
    settled: ReadonlyMap<string, Promise<void>>,
    startedAt: number,
  ): Promise<StartWait> {
    let waitedFor: string | undefined;
    await Promise.all(dependencies.map((name) => settled.get(name)?.then(() => (waitedFor = name))));
    return { waitedMs: this.#deps.clock.monotonic() - startedAt, ...(waitedFor !== undefined && { waitedFor }) };
  }

  #refuseBlocked(component: ManagedComponent): void {
    const down = (component.component.dependsOn ?? []).filter((name) => this.#find(name).state !== 'running');
    if (down.length > 0)
      throw new MeshConfigError(
        `It depends on ${down.map((name) => `"${name}"`).join(', ')}, which is not up. ` +
          'Use softDependsOn if it can do without.',
      );
  }

  #retryInBackground(component: ManagedComponent): void {
    const retry = this.#retry(component).finally(() => this.#retries.delete(retry));
    this.#retries.add(retry);
  }

  async #retry(component: ManagedComponent): Promise<void> {
    const { clock, ids, options } = this.#deps;
    const { signal } = this.#lifetime;
    const begunAt = clock.monotonic();
    for (let failures = 0; !signal.aborted;) {
      const { initialMs, maxMs } = options.current.start.retry;
      const backoffMs = Math.min(maxMs, initialMs * 2 ** Math.min(failures, 30));
      try {
        if (component.attempts > 0) await component.release(new Budget(clock, options.current.shutdown.totalMs));
        // Half fixed, half random: instances that failed together do not come back together.
        await clock.sleep(backoffMs * (0.5 + ids.random() / 2), signal);
        this.#refuseBlocked(component);
        failures++;
        await component.start(signal, { waitedMs: clock.monotonic() - begunAt });
        return;
      } catch (error) {
        if (!signal.aborted) component.degrade(error);
      }
    }
  }

  async #stopAll(budget: Budget, reason: StopContext['reason']): Promise<readonly string[]> {
    if (!this.#lifetime.signal.aborted) this.#lifetime.abort(new Error('The application stops.'));
    await Promise.all(this.#retries);
    const step = (component: ManagedComponent): Promise<boolean> => component.stop(budget, reason);
    const application = await this.#inReverse('application', step);
    return [...application, ...(await this.#inReverse('mesh', step))];
  }

  /** Runs a step of every component of a wave after that of its dependents. Resolves with the names of those in which it failed. */
  async #inReverse(
    wave: StartWave,
    step: (component: ManagedComponent) => Promise<boolean>,
  ): Promise<readonly string[]> {
    const graph = this.#graph;
    if (!graph) return [];
    const outcomes = new Map<string, Promise<boolean>>();
    for (const name of graph.order.toReversed()) {
      if (this.#find(name).wave !== wave) continue;
      const dependents = graph.dependentsOf(name).map((dependent) => outcomes.get(dependent));
      outcomes.set(
        name,
        Promise.all(dependents).then(() => step(this.#find(name))),
      );
    }
    const failed: string[] = [];
    for (const { name } of this.#components) if ((await outcomes.get(name)) === false) failed.push(name);
    return failed;
  }

  #tooSlow(totalMs: number): ComponentStartError {
    const pending = this.#components.filter(({ state }) => state === 'starting').map(({ name }) => name);
    return new ComponentStartError(
      pending.join('", "'),
      totalMs,
      new StepTimeoutError('start of all components', totalMs),
    );
  }

  #find(name: string): ManagedComponent {
    return this.#components.find((component) => component.name === name)!;
  }

  #validGraph(): ComponentGraph {
    if (this.#graph?.order.length !== this.#components.length) this.#graph = new ComponentGraph(this.#components);
    return this.#graph;
  }
}
