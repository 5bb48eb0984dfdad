import type { ComponentState } from './component.port.js';
import type { HealthGroup, HealthMembership, HealthState, HealthStatus } from './health.port.js';
import type { ConfigChange, MeshPhase } from './mesh.events.js';
import type { BreakerState } from './policy.port.js';

export interface ServiceView {
  readonly service: string;
  readonly instance: string;
  readonly version?: string;
  readonly phase: MeshPhase;
  /** What the readiness probe answers. */
  readonly ready: boolean;
  /** The configuration's generation. */
  readonly generation: number;
}

/** A component of the graph, in start order. */
export interface ComponentView {
  readonly name: string;
  readonly state: ComponentState;
  readonly criticality: 'required' | 'optional';
  readonly dependsOn: readonly string[];
  readonly softDependsOn: readonly string[];
  /** How long its start took, without the waiting, in milliseconds. */
  readonly startMs?: number;
  readonly waitedMs?: number;
  readonly waitedFor?: string;
  readonly stopMs?: number;
  readonly attempts: number;
  readonly reason?: string;
}

/** What is known of one contributor's health, or of one thing that a source shows. */
export interface ContributorView {
  readonly name: string;
  readonly state: HealthState;
  readonly reason?: string;
  readonly groups: HealthMembership;
  readonly weight: number;
  /** Epoch ms of the last result. */
  readonly checkedAt?: number;
  /** Failed checks in a row, also while they are too few to count. */
  readonly failures?: number;
  /** Availability, latency, trend and transitions of the last results. */
  readonly history?: object;
}

export interface HealthView {
  /** 0 to 100: the weighted mean of all contributors. */
  readonly score: number;
  readonly groups: Readonly<Record<HealthGroup, HealthStatus>>;
  readonly components: readonly ContributorView[];
}

export interface BreakerView {
  readonly policy: string;
  readonly key?: string;
  readonly state: BreakerState;
  readonly calls: number;
  readonly failures: number;
  readonly slowCalls: number;
  readonly failureRatio: number;
  readonly openings: number;
  /** Epoch ms at which an open breaker lets probes through. */
  readonly openUntil?: number;
  /** Faults that are injected into its policy's calls on purpose, and when they end (epoch ms). */
  readonly fault?: { readonly what: string; readonly until?: number };
  readonly held?: { readonly reason: string; readonly author?: string; readonly until?: number };
}

/** What an operator does to a breaker. A hold ends after `ttlMs`, or with `release`. */
export type BreakerCommand =
  | {
      readonly action: 'isolate' | 'disable';
      readonly reason: string;
      /** Who holds it, for whoever finds it held. */
      readonly author?: string;
      readonly ttlMs?: number;
    }
  | { readonly action: 'release' | 'reset' };

/** Why an option of the effective configuration has its value. Secrets are masked. */
export interface ConfigOptionView {
  readonly path: string;
  readonly value: unknown;
  /** `default`, `module options`, `file /etc/mesh.yaml`, `environment MESH_CACHE__TTL_MS`, `runtime ops`. */
  readonly source: string;
  readonly update: ConfigChange['update'];
  /** What would hold without that source, strongest first. */
  readonly overrode: readonly { readonly source: string; readonly value: unknown }[];
}

/** One generation of the configuration. */
export interface ConfigGenerationView {
  readonly generation: number;
  /** Epoch ms. */
  readonly at: number;
  /** Who made it: `boot`, an update's source, `rollback to 3 by ops`. */
  readonly source: string;
  /** Against the generation before, with secrets masked. */
  readonly changes: readonly ConfigChange[];
}

/** How the configuration is to be changed. */
export interface ConfigCommand {
  /** Who asks: stands in history, events and explanations. */
  readonly source: string;
  /** Refuses the update when another generation than this is in force. @default any */
  readonly expectedGeneration?: number;
  /** Validates and classifies, and changes nothing. @default false */
  readonly dryRun?: boolean;
  /** How long the service's health is watched before the update stands, in milliseconds; 0 does not watch. @default 5_000 */
  readonly healthWindowMs?: number;
}

export interface ConfigOutcome {
  /** `checked`: a dry run that would be accepted. `unchanged`: every value was that already. */
  readonly outcome: 'applied' | 'checked' | 'unchanged';
  /** The generation in force. */
  readonly generation: number;
  readonly changes: readonly ConfigChange[];
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevelName = (typeof LOG_LEVELS)[number];

export interface LogLevelView {
  readonly level: LogLevelName;
  /** What the configuration says. */
  readonly configured: LogLevelName;
  /** Epoch ms at which the configured level is back; absent when nothing overrides it, or without end. */
  readonly until?: number;
}

/**
 * What an operator may see of the application and do to it: the one port that the operators' endpoints call. Where a
 * name is asked for that is not known, the answer is `undefined`.
 */
export abstract class MeshControl {
  abstract service(): ServiceView;
  abstract components(): readonly ComponentView[];
  abstract health(): HealthView;
  /** The breakers that calls have made. */
  abstract breakers(): readonly BreakerView[];
  /** The breakers of one policy, which may be none yet. */
  abstract breakersOf(policy: string): readonly BreakerView[] | undefined;
  /** Without `key` the breaker of the policy is made if no call has made it; one of a key must be there. */
  abstract commandBreaker(policy: string, command: BreakerCommand, key?: string): BreakerView | undefined;
  /** Every option that has a value. */
  abstract config(): { readonly generation: number; readonly options: readonly ConfigOptionView[] };
  /** @throws {MeshError} when there is no such option, naming the one that was probably meant. */
  abstract explainConfig(path: string): ConfigOptionView;
  /** The latest generations, newest first. */
  abstract configHistory(): readonly ConfigGenerationView[];
  /** @throws {MeshError} that says why the update is refused. */
  abstract updateConfig(patch: unknown, command: ConfigCommand): Promise<ConfigOutcome>;
  /** @throws {MeshError} that says why the roll-back is refused. */
  abstract rollbackConfig(generation: number, command: ConfigCommand): Promise<ConfigOutcome>;
  abstract logLevel(): LogLevelView;
  /** Overrides the configured level for `ttlMs`, or until told otherwise; `undefined` ends that. */
  abstract setLogLevel(level: LogLevelName | undefined, ttlMs?: number): LogLevelView;
  /** Takes the instance out of rotation, or back in: its readiness, nothing else. */
  abstract setReadiness(readiness: { readonly ready: true } | { readonly ready: false; readonly reason: string }): void;
}
