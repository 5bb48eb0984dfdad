import 'reflect-metadata';
import type {
  ComponentChange,
  ComponentContext,
  ComponentTimeouts,
  MeshComponent as MeshComponentPort,
  PreparedReconfiguration,
  StopContext,
} from '../core/component.port.js';
import type { HealthReport } from '../core/health.port.js';

const METADATA = Symbol('nestjs-mesh.component');

/** Everything of a component but its steps, which the decorated class has as methods. */
export interface MeshComponentOptions {
  /** Unique, kebab-case: stands in logs, metrics, health and errors. */
  readonly name: string;
  /** These must be up before this one starts, and stay up until it has stopped. */
  readonly dependsOn?: readonly string[];
  /** As `dependsOn`, but only for order: they may be absent or degraded. */
  readonly softDependsOn?: readonly string[];
  /** Whether a failed start fails the application, or leaves it degraded and is retried. @default 'required' */
  readonly criticality?: 'required' | 'optional';
  readonly timeouts?: ComponentTimeouts;
  /** The parts of the configuration whose updates `reconfigure` is asked about: `['resilience.policies']`. */
  readonly configPaths?: readonly string[];
}

/** The steps that a component may have; it has at least one of them. */
export interface ComponentSteps {
  start?(context: ComponentContext): Promise<void> | void;
  drain?(context: StopContext): Promise<void> | void;
  stop?(context: StopContext): Promise<void> | void;
  check?(context: ComponentContext): Promise<HealthReport> | HealthReport;
  reconfigure?(change: ComponentChange): Promise<PreparedReconfiguration> | PreparedReconfiguration;
}

/** As a type: a part of the service that starts and stops with it. As a decorator: makes a provider such a part. */
export type MeshComponent = MeshComponentPort;

/**
 * Makes a provider a component: its `start` runs after every `onModuleInit`, when what it depends on is up, its `stop`
 * after all of Nest's other hooks, before that of what it depends on. Names of the mesh's own parts may be depended on.
 */
export function MeshComponent(options: MeshComponentOptions) {
  return <T extends abstract new (...args: never[]) => ComponentSteps>(target: T): void => {
    Reflect.defineMetadata(METADATA, options, target);
  };
}

/** The component that a class was declared as, its own declaration before an inherited one. */
export function componentOptionsOf(target: object): MeshComponentOptions | undefined {
  return Reflect.getMetadata(METADATA, target) as MeshComponentOptions | undefined;
}
