import { CallContexts } from '../core/call-context.js';
import { SystemClock } from '../core/clock.js';
import { SystemIds } from '../core/ids.js';
import { fixedOptions } from '../core/live-options.js';
import { MeshEvents } from '../core/mesh.events.js';
import { MetricsClient, type MetricFamily, type MetricsExposition } from '../core/metrics.port.js';
import { CircuitBreakerManager } from './circuit-breaker.manager.js';
import type { ResilienceDeps } from './resilience-engine.js';
import type { ResiliencePolicy } from './resilience-policy.js';
import {
  type BulkheadOptions,
  type CircuitBreakerOptions,
  type HedgeOptions,
  type PolicyDeclaration,
  type PolicyPredicates,
  type RateLimitOptions,
  resilienceSchema,
  type RetryOptions,
} from './resilience.options.js';

/**
 * Builds a policy without an application: for scripts, for tests, and for libraries. It has only the protections that are
 * named, in the one fixed order, whatever the order of the calls. Each step returns a new builder.
 */
export class PolicyBuilder {
  constructor(
    private readonly name: string,
    private readonly declaration: PolicyDeclaration = { onlyNamed: true },
  ) {}

  /** Limit of one attempt, in milliseconds. */
  timeout(timeoutMs: number): PolicyBuilder {
    return this.#with({ timeoutMs });
  }

  /** Limit of the whole call with all its attempts, in milliseconds. */
  totalTimeout(totalTimeoutMs: number): PolicyBuilder {
    return this.#with({ totalTimeoutMs });
  }

  retry(retry: RetryOptions = {}): PolicyBuilder {
    return this.#with({ retry });
  }

  circuitBreaker(circuitBreaker: CircuitBreakerOptions = {}): PolicyBuilder {
    return this.#with({ circuitBreaker });
  }

  bulkhead(bulkhead: BulkheadOptions = {}): PolicyBuilder {
    return this.#with({ bulkhead });
  }

  rateLimit(rateLimit: RateLimitOptions = {}): PolicyBuilder {
    return this.#with({ rateLimit });
  }

  hedge(hedge: HedgeOptions = {}): PolicyBuilder {
    return this.#with({ hedge });
  }

  /** The function may run twice without harm, so that it may be retried and hedged. */
  idempotent(): PolicyBuilder {
    return this.#with({ idempotent: true });
  }

  /** What counts as a failure, and what is worth a retry. */
  when(predicates: Omit<PolicyPredicates, 'idempotent'>): PolicyBuilder {
    return this.#with(predicates);
  }

  /**
   * The policy. `deps` replaces the clock, the randomness and the outlets for events and metrics.
   * @throws {MeshConfigError} when the values can't work together.
   */
  build(deps: Partial<ResilienceDeps> = {}): ResiliencePolicy {
    const manager = new CircuitBreakerManager(fixedOptions(resilienceSchema.parse({})), {
      clock: new SystemClock(),
      ids: new SystemIds(),
      events: new MeshEvents(),
      metrics: new NoMetrics(),
      contexts: new CallContexts(),
      ...deps,
    });
    return manager.declare(this.name, this.declaration, 'a builder');
  }

  #with(part: PolicyDeclaration): PolicyBuilder {
    return new PolicyBuilder(this.name, { ...this.declaration, ...part });
  }
}

/** Starts a {@link PolicyBuilder}. The name stands in errors and events. */
export function pipeline(name = 'pipeline'): PolicyBuilder {
  return new PolicyBuilder(name);
}

const NO_SERIES = { inc: () => {}, dec: () => {}, set: () => {}, observe: () => {} };
const NO_FAMILY: MetricFamily<string, typeof NO_SERIES> = { with: () => NO_SERIES };

/** For policies outside an application: nobody counts. */
class NoMetrics extends MetricsClient {
  override counter = (): typeof NO_FAMILY => NO_FAMILY;
  override gauge = (): typeof NO_FAMILY => NO_FAMILY;
  override histogram = (): typeof NO_FAMILY => NO_FAMILY;

  override onCollect(): () => void {
    return () => {};
  }

  override async expose(): Promise<MetricsExposition> {
    return { contentType: 'text/plain', body: '' };
  }
}
