import type { ConfigStore } from './config/config.store.js';
import type { MessageBroker } from './core/broker.port.js';
import type { CacheClient } from './core/cache.port.js';
import type { MeshEvents } from './core/mesh.events.js';
import { attachRuntime } from './core/method-advice.js';
import type { MeshRuntime } from './core/mesh-runtime.js';
import type { MetricsClient } from './core/metrics.port.js';
import type { ServiceInfo } from './core/service-info.js';
import type { HealthAggregator } from './health/health.aggregator.js';
import type { JobHeaders, JobIntake } from './lifecycle/job.intake.js';
import type { MeshLifecycle, ShutdownRequest } from './lifecycle/mesh-lifecycle.js';
import type { MeshConfig } from './mesh.options.js';
import type { PartReplacer, ReplaceResult } from './replaceable/part-replacer.js';
import type { ReplaceableParts } from './replacements.js';
import type { CircuitBreakerManager } from './resilience/circuit-breaker.manager.js';
import type { MeshFetch } from './resilience/http/mesh-fetch.js';

interface MeshParts {
  readonly service: ServiceInfo;
  readonly config: ConfigStore<MeshConfig>;
  readonly events: MeshEvents;
  readonly metrics: MetricsClient;
  readonly breakers: CircuitBreakerManager;
  readonly broker: MessageBroker;
  readonly cache: CacheClient;
  readonly health: HealthAggregator;
  readonly lifecycle: MeshLifecycle;
  readonly jobs: JobIntake;
  readonly fetch: MeshFetch;
  readonly runtime: MeshRuntime;
  readonly replacer: PartReplacer;
}

/** The mesh of one application: everything it has, in one place. */
export class ServiceMesh {
  readonly service: ServiceInfo;
  readonly config: ConfigStore<MeshConfig>;
  readonly events: MeshEvents;
  readonly metrics: MetricsClient;
  readonly breakers: CircuitBreakerManager;
  readonly broker: MessageBroker;
  readonly cache: CacheClient;
  readonly health: HealthAggregator;
  readonly lifecycle: MeshLifecycle;
  /** The global `fetch` through a policy: `mesh.fetch('payments.api', url, init)`. */
  readonly fetch: MeshFetch['fetch'];
  readonly #jobs: JobIntake;
  readonly #runtime: MeshRuntime;
  readonly #replacer: PartReplacer;

  constructor(parts: MeshParts) {
    this.service = parts.service;
    this.config = parts.config;
    this.events = parts.events;
    this.metrics = parts.metrics;
    this.breakers = parts.breakers;
    this.broker = parts.broker;
    this.cache = parts.cache;
    this.health = parts.health;
    this.lifecycle = parts.lifecycle;
    this.fetch = parts.fetch.fetch.bind(parts.fetch) as MeshFetch['fetch'];
    this.#jobs = parts.jobs;
    this.#runtime = parts.runtime;
    this.#replacer = parts.replacer;
  }

  get name(): string {
    return this.service.name;
  }

  /**
   * Runs work that no request and no message brings in - a queue's worker, a timer - in a call context of its own: its log
   * lines and outgoing calls carry a correlation id, and a shutdown waits for it. `headers` are what its cause says of
   * itself (`x-correlation-id`, `traceparent`); what a request begins keeps the request's ids, and may outlive it. Methods
   * under `@Cron`, `@Interval` and `@Timeout` need no such call.
   * @throws {DrainingError} when the shutdown lets no work begin any more.
   * @example await mesh.run('invoices', () => this.send(job.data), job.data.headers)
   */
  run<T>(name: string, work: () => T, headers?: JobHeaders): T {
    return this.#jobs.run(name, work, headers);
  }

  /**
   * Shuts the application down as a signal would, once however often it is called, without touching the process; see
   * {@link MeshLifecycle.shutdown}.
   */
  shutdown(request: ShutdownRequest): Promise<void> {
    return this.lifecycle.shutdown(request);
  }

  /**
   * Puts another implementation in the place of a part while the application runs. Everything that was injected, and
   * what was got from it - handles of metrics, namespaces, handlers, subscriptions - is with the new one from then on;
   * what runs on the old one finishes there before it is stopped. Values in a cache stay behind.
   * @throws {ReplacementRefusedError} when the new one does not start or is not well; nothing has changed then.
   */
  replace<K extends keyof ReplaceableParts>(name: K, implementation: ReplaceableParts[K]): Promise<ReplaceResult> {
    return this.#replacer.replace(name, implementation);
  }

  /** Makes the mesh's decorators work on an object that Nest does not know: one made with `new`, by a pool, or per request. */
  bind<T extends object>(instance: T): T {
    attachRuntime(instance, this.#runtime);
    return instance;
  }
}
