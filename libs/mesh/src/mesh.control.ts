import type { ConfigStore } from './config/config.store.js';
import { isMeshError } from './core/mesh.error.js';
import {
  type BreakerCommand,
  type BreakerView,
  type ComponentView,
  type ConfigCommand,
  type ConfigOptionView,
  type ConfigOutcome,
  type HealthView,
  type LogLevelName,
  type LogLevelView,
  MeshControl,
  type ServiceView,
} from './core/mesh-control.port.js';
import type { ServiceInfo } from './core/service-info.js';
import type { HealthAggregator } from './health/health.aggregator.js';
import type { MeshLifecycle } from './lifecycle/mesh-lifecycle.js';
import type { MeshConfig } from './mesh.options.js';
import type { CircuitBreakerManager } from './resilience/circuit-breaker.manager.js';
import type { OperatorDrain } from './ops/operator-drain.js';
import { OpsConflictError, OpsNotFoundError } from './ops/ops.errors.js';
import type { TemporaryLogLevel } from './ops/temporary-log-level.js';

export interface MeshControlParts {
  readonly service: ServiceInfo;
  readonly config: ConfigStore<MeshConfig>;
  readonly lifecycle: MeshLifecycle;
  readonly breakers: CircuitBreakerManager;
  readonly health: HealthAggregator;
  readonly drain: OperatorDrain;
  /** Absent when the lines are not written by the mesh's own logger. */
  readonly logLevel?: TemporaryLogLevel;
}

/** What operators see and do, over the rooms: the ops room calls it and knows none of them. */
export class RoomsControl extends MeshControl {
  constructor(private readonly parts: MeshControlParts) {
    super();
  }

  override service(): ServiceView {
    const { service, lifecycle, health, config } = this.parts;
    return {
      service: service.name,
      instance: service.instance,
      ...(service.version !== undefined && { version: service.version }),
      phase: lifecycle.phase,
      ready: health.snapshot('ready').status !== 'down',
      generation: config.generation,
    };
  }

  override components(): readonly ComponentView[] {
    return this.parts.lifecycle.report();
  }

  override health(): HealthView {
    return this.parts.health.overview();
  }

  override breakers(): readonly BreakerView[] {
    return this.parts.breakers.list();
  }

  override breakersOf(policy: string): readonly BreakerView[] | undefined {
    if (!this.#hasBreaker(policy)) return undefined;
    return this.parts.breakers.list().filter((breaker) => breaker.policy === policy);
  }

  override commandBreaker(policy: string, command: BreakerCommand, key?: string): BreakerView | undefined {
    const known = this.breakersOf(policy);
    if (!known || (key !== undefined && !known.some((breaker) => breaker.key === key))) return undefined;
    const breaker = this.parts.breakers.breaker(policy, key);
    switch (command.action) {
      case 'isolate':
        breaker.isolate(command);
        break;
      case 'disable':
        breaker.disable(command);
        break;
      case 'release':
        breaker.release();
        break;
      case 'reset':
        breaker.reset();
        break;
    }
    return breaker.snapshot();
  }

  override config(): { readonly generation: number; readonly options: readonly ConfigOptionView[] } {
    const { config } = this.parts;
    return { generation: config.generation, options: config.explainAll() };
  }

  override explainConfig(path: string): ConfigOptionView {
    try {
      return this.parts.config.explain(path);
    } catch (error) {
      // Its message names the option that was probably meant.
      throw isMeshError(error, 'MESH_CONFIG_INVALID') ? new OpsNotFoundError(error.message) : error;
    }
  }

  override configHistory(): ConfigStore['history'] {
    return this.parts.config.history;
  }

  override async updateConfig(patch: unknown, command: ConfigCommand): Promise<ConfigOutcome> {
    return outcomeOf(await this.parts.config.update(patch, command));
  }

  override async rollbackConfig(generation: number, command: ConfigCommand): Promise<ConfigOutcome> {
    return outcomeOf(await this.parts.config.rollback(generation, command));
  }

  override logLevel(): LogLevelView {
    return this.#logLevel.view();
  }

  override setLogLevel(level: LogLevelName | undefined, ttlMs?: number): LogLevelView {
    this.#logLevel.set(level, ttlMs);
    return this.#logLevel.view();
  }

  override setReadiness(
    readiness: { readonly ready: true } | { readonly ready: false; readonly reason: string },
  ): void {
    if (readiness.ready) this.parts.drain.end();
    else this.parts.drain.begin(readiness.reason);
  }

  get #logLevel(): TemporaryLogLevel {
    const { logLevel } = this.parts;
    if (logLevel) return logLevel;
    throw new OpsConflictError("The application's own logger writes the lines; only it can change their level.");
  }

  /** A policy that is known by its own name, and has a breaker. A pattern matches anything, which would be no name at all. */
  #hasBreaker(policy: string): boolean {
    const { breakers } = this.parts;
    return breakers.names().includes(policy) && breakers.policy(policy).breakers !== undefined;
  }
}

function outcomeOf({ outcome, generation, changes }: ConfigOutcome): ConfigOutcome {
  return { outcome, generation, changes };
}
