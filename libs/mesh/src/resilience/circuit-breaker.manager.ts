import type { CallContexts } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { HealthReport } from '../core/health.port.js';
import type { Ids } from '../core/ids.js';
import type { LiveOptions } from '../core/live-options.js';
import type { MeshEvents } from '../core/mesh.events.js';
import type { MetricsClient } from '../core/metrics.port.js';
import { type BreakerState, PolicyRunner } from '../core/policy.port.js';
import type { BreakerSnapshot, PolicyDescription } from './policy-description.js';
import { ResiliencePolicy } from './resilience-policy.js';
import type { PolicyDeclaration, ResilienceOptions } from './resilience.options.js';

export interface ResilienceDeps {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly events: MeshEvents;
  readonly metrics: MetricsClient;
  readonly contexts: CallContexts;
}

/** The operator's grip on one breaker. */
export interface BreakerControl {
  readonly state: BreakerState;
  snapshot(): BreakerSnapshot;
  /** Refuses every call until released, or for `ttlMs`. Disposing the result releases it. */
  isolate(options: { readonly reason: string; readonly ttlMs?: number }): Disposable;
  /** Lets every call pass, still counted, until released. Disposing the result releases it. */
  disable(options: { readonly reason: string; readonly ttlMs?: number }): Disposable;
  /** Ends {@link isolate} or {@link disable}: closed, with an empty window. */
  release(): void;
  /** Closed with an empty window, whatever it was. */
  reset(): void;
}

/** Keeps every named policy of the application with its circuit breakers. */
export class CircuitBreakerManager extends PolicyRunner {
  constructor(
    readonly options: LiveOptions<ResilienceOptions>,
    readonly deps: ResilienceDeps,
  ) {
    super();
  }

  /**
   * Declares a policy in code. Configuration for the exact name wins over it, patterns and defaults do not.
   * @throws {MeshConfigError} when the name is already declared with other values, or the values can't work together.
   */
  declare(name: string, _declaration: PolicyDeclaration, _origin: string): ResiliencePolicy {
    return new ResiliencePolicy(name);
  }

  override policy(name: string): ResiliencePolicy {
    return new ResiliencePolicy(name);
  }

  breaker(_policy: string, _key?: string): BreakerControl {
    throw new Error('not yet');
  }

  list(): readonly BreakerSnapshot[] {
    return [];
  }

  describePolicy(_name: string): PolicyDescription {
    throw new Error('not yet');
  }

  readHealth(): readonly (HealthReport & { readonly name: string })[] {
    return [];
  }

  async drain(_options: { readonly deadlineAt: number }): Promise<void> {}

  dispose(): void {}
}
