import {
  SECOND_TIER_POLICY,
  SECOND_TIER_POLICY_NAME,
} from '../../libs/mesh/src/cache/second-tier/second-tier.policy.js';
import { cacheSchema } from '../../libs/mesh/src/cache/cache.options.js';
import { MeshCache } from '../../libs/mesh/src/cache/mesh-cache.js';
import { CallContexts } from '../../libs/mesh/src/core/call-context.js';
import { SystemIds } from '../../libs/mesh/src/core/ids.js';
import { fixedOptions } from '../../libs/mesh/src/core/live-options.js';
import { type MeshEventMap, MeshEvents } from '../../libs/mesh/src/core/mesh.events.js';
import { ServiceInfo } from '../../libs/mesh/src/core/service-info.js';
import { metricsSchema } from '../../libs/mesh/src/metrics/metrics.options.js';
import { PrometheusMetrics } from '../../libs/mesh/src/metrics/prometheus.metrics.js';
import { CircuitBreakerManager } from '../../libs/mesh/src/resilience/circuit-breaker.manager.js';
import { resilienceSchema } from '../../libs/mesh/src/resilience/resilience.options.js';
import { VirtualClock } from '../../libs/mesh/src/testing/virtual-clock.js';

/** A store of Keyv 5 for several instances on one virtual clock: each has a connection of its own, which may hang. */
export class SharedMap {
  readonly clock = new VirtualClock();
  /** Larger values are refused, as by memcached; in characters. */
  maxLength = Infinity;
  readonly #values = new Map<string, { readonly text: string; readonly until: number }>();

  /** One instance's connection. */
  connection() {
    const connection = {
      mode: 'well' as 'well' | 'hangs' | 'refuses writes',
      get: (key: string) => this.#answer(connection.mode, () => this.#read(key)),
      set: (key: string, text: string, ttlMs: number) =>
        this.#answer(connection.mode, () => {
          if (connection.mode === 'refuses writes' || text.length > this.maxLength) throw new Error('refused');
          this.#values.set(key, { text, until: this.clock.monotonic() + ttlMs });
        }),
      delete: (key: string) => this.#answer(connection.mode, () => this.#values.delete(key)),
    };
    return connection;
  }

  /** An instance of the service `shop`, which has no way to tell the others what it deletes but the store. */
  async instance(options: Record<string, unknown> = {}) {
    const connection = this.connection();
    const events = new MeshEvents();
    const collaborators = {
      clock: this.clock,
      ids: new SystemIds(),
      events,
      metrics: new PrometheusMetrics(fixedOptions(metricsSchema.parse({})), events),
      contexts: new CallContexts(),
    };
    const policies = new CircuitBreakerManager(fixedOptions(resilienceSchema.parse({})), collaborators);
    policies.declare(SECOND_TIER_POLICY_NAME, SECOND_TIER_POLICY, 'the cache');
    const cache = new MeshCache(fixedOptions(cacheSchema.parse({ store: connection, jitterRatio: 0, ...options })), {
      ...collaborators,
      policies,
      service: new ServiceInfo('shop', 'a'),
    });
    const states: MeshEventMap['cache.second-tier']['state'][] = [];
    events.on('cache.second-tier', ({ state }) => states.push(state));
    await cache.start();
    return { cache, connection, states };
  }

  #read(key: string): string | undefined {
    const value = this.#values.get(key);
    return value && this.clock.monotonic() < value.until ? value.text : undefined;
  }

  async #answer<T>(mode: string, work: () => T): Promise<T> {
    return mode === 'hangs' ? new Promise<never>(() => undefined) : work();
  }
}
