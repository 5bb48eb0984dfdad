import type { CallContexts } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { MeshComponent } from '../core/component.port.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { MeshEventMap, MeshEvents, MeshPhase } from '../core/mesh.events.js';
import type { StartWave } from './component-graph.js';
import type { Drainable } from './drainable.js';
import { StartAbortedError } from './lifecycle.errors.js';
import type { LifecycleManager } from './lifecycle.manager.js';
import type { ComponentReport } from './lifecycle.report.js';
import type { ShutdownSequence } from './shutdown.sequence.js';

export interface ShutdownRequest {
  /** Why: a signal's name, or words of the caller. Stands in the log and reaches the hooks as their signal. */
  readonly reason: string;
  /** Whether the caller ends the process when the shutdown is done: then a start that is called off stays where it is. */
  readonly endsProcess?: boolean;
}

/** What closes the whole application: `app.close()`. */
export interface AttachedApplication {
  close(reason: string): Promise<void>;
}

export interface MeshLifecycleDependencies {
  readonly manager: LifecycleManager;
  readonly sequence: ShutdownSequence;
  readonly clock: Clock;
  readonly contexts: CallContexts;
  readonly events: MeshEvents;
  /** The components that the application declares; asked once, when all its providers exist. */
  readonly declared: () => readonly MeshComponent[];
  /** How many listeners the process has for SIGTERM: without one, a signal ends it at once and nothing drains. */
  readonly terminationListeners: () => number;
}

/** What the composition root does around the start of a wave; a failure in it takes the start back like a component's. */
export interface AroundWave {
  before?(): Promise<void> | void;
  after?(): Promise<void> | void;
}

/** Nest's hooks in which the mesh looks whether it was told to stop; the user's hooks run between them. */
type Checkpoint = 'none' | 'mesh-init' | 'mesh-bootstrap' | 'edge-bootstrap';

/**
 * The life of the application from the first hook to the last: starting, ready, draining, stopping, stopped. Nest's hooks
 * drive it, from both ends of their order; a shutdown may be asked for at any time.
 */
export class MeshLifecycle {
  readonly #deps: MeshLifecycleDependencies;
  #phase: MeshPhase = 'starting';
  #phaseSince: number;
  #reached: Checkpoint = 'none';
  #declaredAreRegistered = false;
  #stopReason: string | undefined;
  #application: AttachedApplication | undefined;
  #shutdown: Promise<void> | undefined;
  #endsProcess = false;
  /** Wakes a shutdown that came during the start and waits for the next checkpoint. */
  #atCheckpoint: (() => void) | undefined;

  constructor(deps: MeshLifecycleDependencies) {
    this.#deps = deps;
    this.#phaseSince = deps.clock.monotonic();
  }

  get phase(): MeshPhase {
    return this.#phase;
  }

  /** Whether Nest has begun to run the hooks of the start and is not through. */
  get startPending(): boolean {
    return this.#phase === 'starting' && this.#reached !== 'none';
  }

  /** Aborts when work in flight has had its time to finish during a shutdown. */
  get abortSignal(): AbortSignal {
    return this.#deps.sequence.abortSignal;
  }

  /** Adds a component. @throws {MeshConfigError} when the components of its wave have begun to start. */
  register(component: MeshComponent, wave: StartWave = 'application'): void {
    this.#deps.manager.register(component, wave);
  }

  addDrainable(drainable: Drainable): void {
    this.#deps.sequence.addDrainable(drainable);
  }

  /** Adds what must be written before the process may end. */
  addFlush(flush: () => Promise<void> | void): void {
    this.#deps.sequence.addFlush(flush);
  }

  /** Every component, those that the application declares included; complete once all providers exist. */
  components(): readonly MeshComponent[] {
    this.#registerDeclared();
    return this.#deps.manager.components();
  }

  /** Every component in start order: state, milliseconds, what it waited for. */
  report(): readonly ComponentReport[] {
    return this.#deps.manager.report();
  }

  /** The component graph for Graphviz. */
  toDot(): string {
    return this.#deps.manager.toDot();
  }

  /**
   * Shuts the application down, once however often it is called, and resolves when everything has stopped; during the
   * start it calls the start off. Never touches the process. Without `enableMeshShutdown(app)` the mesh can't reach the
   * application: then it drains and stops its own parts, and Nest's hooks are left to `app.close()`.
   */
  shutdown({ reason, endsProcess = false }: ShutdownRequest): Promise<void> {
    this.#endsProcess ||= endsProcess;
    // A request may ask for it; what stops then has more time than that one has left.
    this.#shutdown ??= this.#deps.contexts.exit(() => this.#runShutdown(reason));
    return this.#shutdown;
  }

  /** A repeated request for the shutdown: no waiting for load balancers, and little for the work in flight. */
  hurry(): void {
    this.#deps.sequence.hurry();
  }

  /** Lets `shutdown` close the whole application: for `enableMeshShutdown`, which knows it. */
  attach(application: AttachedApplication): void {
    this.#application = application;
  }

  /** Calls back when a shutdown has taken longer than its budget. */
  onOverrun(callback: (overrun: MeshEventMap['lifecycle.overrun']) => void): void {
    this.#deps.sequence.onOverrun(callback);
  }

  /** MeshModule's `onModuleInit`, the first hook of the application: the mesh's own parts start. */
  async onMeshInit(around: AroundWave = {}): Promise<void> {
    await this.#startWave('mesh', 'mesh-init', around);
  }

  /** MeshEdgeModule's `onModuleInit`, the last of its kind. @throws {MeshConfigError} when it is not. */
  onEdgeInit(): void {
    if (this.#reached === 'none') throw orderError('onModuleInit of MeshEdgeModule ran before that of MeshModule');
  }

  /** MeshModule's `onApplicationBootstrap`, after every `onModuleInit` of the user: the user's components start. */
  async onMeshBootstrap(around: AroundWave = {}): Promise<void> {
    await this.#startWave('application', 'mesh-bootstrap', around);
  }

  /** MeshEdgeModule's `onApplicationBootstrap`, the last hook before the application serves: ready. */
  async onEdgeBootstrap(): Promise<void> {
    if (this.#phase !== 'starting') return;
    if (this.#reached !== 'mesh-bootstrap')
      throw orderError('onApplicationBootstrap of MeshEdgeModule ran before that of MeshModule');
    if (this.#stopReason !== undefined) await this.#checkpoint('edge-bootstrap');
    this.#enter('ready');
    if (!this.#application && this.#deps.terminationListeners() === 0)
      this.#deps.events.emit('lifecycle.warning', {
        message:
          'Nobody listens to SIGTERM: the process would end at once, with the work in flight. ' +
          'Call enableMeshShutdown(app) in main.ts.',
      });
  }

  /** MeshEdgeModule's `onModuleDestroy`, the first hook of a shutdown: not ready any more, then drain. */
  async onEdgeDestroy(): Promise<void> {
    await this.#drain(this.#stopReason ?? 'app.close()');
  }

  /** MeshModule's `onApplicationShutdown`, the last hook of all: components in reverse, logs. */
  async onMeshShutdown(): Promise<void> {
    if (this.#phase !== 'failed' && this.#phase !== 'stopped') this.#enter('stopping');
    await this.#deps.contexts.exit(() =>
      this.#deps.sequence.stop(() => {
        if (this.#phase === 'stopping') this.#enter('stopped');
      }),
    );
  }

  async #startWave(wave: StartWave, checkpoint: Checkpoint, { before, after }: AroundWave): Promise<void> {
    // Nest 12.1 runs every init hook twice when a microservice is first initialised and then listens.
    if (this.#phase !== 'starting') return;
    await this.#checkpoint(checkpoint);
    try {
      await before?.();
      this.#registerDeclared();
      await this.#deps.manager.start(wave);
      await after?.();
    } catch (error) {
      if (this.#stopReason === undefined) {
        await this.#deps.manager.rollBack();
        this.#enter('failed');
        throw error;
      }
    }
    await this.#checkpoint(checkpoint);
  }

  #registerDeclared(): void {
    if (this.#declaredAreRegistered) return;
    this.#declaredAreRegistered = true;
    for (const component of this.#deps.declared()) this.register(component);
  }

  /** The one place where a shutdown during the start takes effect: no hook of the user's runs while the mesh is here. */
  async #checkpoint(reached: Checkpoint): Promise<void> {
    this.#reached = reached;
    if (this.#stopReason === undefined) return;
    this.#atCheckpoint?.();
    // The process is about to end. Nest waits here until then: a rejection would end it at once, with the wrong code.
    if (this.#endsProcess) await new Promise<never>(() => undefined);
    await this.#shutdown;
    throw new StartAbortedError(this.#stopReason);
  }

  async #runShutdown(reason: string): Promise<void> {
    const starting = this.#phase === 'starting';
    this.#stopReason ??= reason;
    this.#deps.sequence.begin();
    if (starting) await this.#callStartOff(reason);
    // Before the mesh's first hook is over no hook of the user's has run, so that there is nothing of theirs to undo.
    const hooksRan = !starting || (this.#reached !== 'none' && this.#reached !== 'mesh-init');
    // Before the application closes anything: a pure microservice closes its transport ahead of every hook.
    await this.#drain(reason);
    if (hooksRan) await this.#application?.close(reason);
    await this.onMeshShutdown();
  }

  /** Resolves when Nest is at a checkpoint, where it stays, or has not begun. */
  async #callStartOff(reason: string): Promise<void> {
    this.#deps.manager.abortStart(new StartAbortedError(reason));
    if (this.#reached === 'none') return;
    await new Promise<void>((resolve) => (this.#atCheckpoint = resolve));
  }

  async #drain(reason: string): Promise<void> {
    const wasReady = this.#phase === 'ready';
    this.#stopReason ??= reason;
    if (this.#phase === 'starting') this.#deps.manager.abortStart(new StartAbortedError(reason));
    if (this.#phase === 'starting' || wasReady) this.#enter('draining');
    await this.#deps.contexts.exit(() => this.#deps.sequence.drain({ skipPreStop: !wasReady || reason === 'SIGINT' }));
  }

  #enter(phase: MeshPhase): void {
    const { clock, events } = this.#deps;
    const durationMs = clock.monotonic() - this.#phaseSince;
    this.#phase = phase;
    this.#phaseSince = clock.monotonic();
    events.emit('lifecycle.phase', {
      phase,
      durationMs,
      ...(this.#stopReason !== undefined && { reason: this.#stopReason }),
    });
  }
}

function orderError(what: string): MeshConfigError {
  return new MeshConfigError(
    `The order of Nest's hooks is not what the mesh stands on: ${what}. ` +
      'Import MeshModule.forRoot() in the root module, and keep it global.',
  );
}
