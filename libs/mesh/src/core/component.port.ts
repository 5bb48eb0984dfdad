import type { HealthReport } from './health.port.js';

export interface ComponentContext {
  /** Aborts when the step's time is over or the start is rolled back. */
  readonly signal: AbortSignal;
}

export interface StopContext extends ComponentContext {
  readonly reason: 'shutdown' | 'rollback' | 'swap';
  /** Epoch ms at which the step's time is over. */
  readonly deadlineAt: number;
}

/** Where a component is in its life. `degraded`: optional, not up, and retried in the background. */
export type ComponentState =
  'registered' | 'starting' | 'running' | 'degraded' | 'draining' | 'drained' | 'stopping' | 'stopped' | 'failed';

/** How long each step may take, in milliseconds. What is not set follows the lifecycle's options. */
export interface ComponentTimeouts {
  /** @default 15_000 */
  readonly startMs?: number;
  /** @default 10_000 */
  readonly drainMs?: number;
  /** @default 5_000 */
  readonly stopMs?: number;
  /** @default 1_000 */
  readonly checkMs?: number;
}

/** An update of the configuration that a component is asked to follow. */
export interface ComponentChange extends ComponentContext {
  /** The whole configuration as it would be, and as it is. */
  readonly next: unknown;
  readonly previous: unknown;
  /** Which of the component's options would change: `resilience.policies.x.timeoutMs`. */
  readonly paths: readonly string[];
}

/** What a component has made ready for an update. Either `settle` or `discard` is called in the end, once. */
export interface PreparedReconfiguration {
  /** Takes the change over. Synchronous, like `revert`; a throw takes the whole update back. */
  commit(): void;
  /** Goes back to what was before `commit`. */
  revert(): void;
  settle?(): Promise<void> | void;
  discard?(): Promise<void> | void;
}

/** A part of the service that starts and stops with it: one of the mesh's own, or one of the user's. */
export interface MeshComponent {
  /** Unique, kebab-case: stands in logs, metrics, health and errors. */
  readonly name: string;
  /** These must be up before this one starts, and stay up until it has stopped. */
  readonly dependsOn?: readonly string[];
  /** As `dependsOn`, but only for order: they may be absent or degraded. */
  readonly softDependsOn?: readonly string[];
  /** Whether a failed start fails the application, or leaves it degraded and is retried. @default 'required' */
  readonly criticality?: 'required' | 'optional';
  readonly timeouts?: ComponentTimeouts;
  start?(context: ComponentContext): Promise<void> | void;
  /**
   * Takes no new work from outside and waits for what runs; everything it depends on is still up. Between the end of the
   * drain and `stop` the application's own shutdown hooks run: what they ask for is still served.
   */
  drain?(context: StopContext): Promise<void> | void;
  /** Idempotent, and safe when never started. */
  stop?(context: StopContext): Promise<void> | void;
  check?(context: ComponentContext): Promise<HealthReport> | HealthReport;
  /** The parts of the configuration whose updates `reconfigure` is asked about: `['resilience.policies']`. */
  readonly configPaths?: readonly string[];
  /** Prepares for an update of `configPaths` without letting it be seen. A throw refuses the whole update. */
  reconfigure?(change: ComponentChange): Promise<PreparedReconfiguration> | PreparedReconfiguration;
}
