import { type ExceptionFilter, Inject, Injectable } from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost, ModuleRef, ModulesContainer } from '@nestjs/core';
import { reachesEveryInstance } from './broker/create-broker.js';
import { connectNestHandlers, connectSubscribers } from './broker/nest/nest-handlers.js';
import { refuseKeyv6In } from './cache/cache-manager.adapter.js';
import { CachedMethods } from './cache/decorators/cached-methods.js';
import { SECOND_TIER_POLICY_NAME } from './cache/second-tier/second-tier.policy.js';
import { ConfigStore } from './config/config.store.js';
import { MessageBroker } from './core/broker.port.js';
import { CacheClient } from './core/cache.port.js';
import { CallContexts } from './core/call-context.js';
import { MeshEvents } from './core/mesh.events.js';
import { MeshRuntime } from './core/mesh-runtime.js';
import { MetricsClient } from './core/metrics.port.js';
import { PolicyRunner } from './core/policy.port.js';
import { ServiceInfo } from './core/service-info.js';
import { DecoratedMethodsExplorer } from './decorated-methods.explorer.js';
import { fromComponent } from './health/component.contributor.js';
import { HealthContributorExplorer } from './health/health-contributor.explorer.js';
import { HealthAggregator } from './health/health.aggregator.js';
import { HttpIntake } from './lifecycle/http.intake.js';
import { JobIntake } from './lifecycle/job.intake.js';
import { LifecycleHealth } from './lifecycle/lifecycle.health.js';
import { LifecycleMetrics } from './lifecycle/lifecycle.metrics.js';
import { MeshLifecycle } from './lifecycle/mesh-lifecycle.js';
import { adviseScheduledMethods } from './lifecycle/scheduled-methods.js';
import { AccessLog } from './logging/access-log.js';
import { EventLog } from './logging/event-log.js';
import { LogSink } from './logging/log-sink.js';
import type { MeshConfig } from './mesh.options.js';
import { EventMetrics } from './metrics/event.metrics.js';
import { HttpMetrics } from './metrics/http.metrics.js';
import { exposeServiceInfo } from './metrics/service.metrics.js';
import { traceBroker } from './ops/broker.tracing.js';
import { Tracing } from './ops/traced-work.js';
import { BuiltInComponents } from './mesh.components.js';
import { MeshRoutes } from './mesh.routes.js';
import type { PartLookup } from './mesh.providers.js';
import { policyExplainer } from './policy.explanation.js';
import { assertPart, type MeshExtras, type ReplaceableParts } from './replacements.js';
import { CircuitBreakerManager } from './resilience/circuit-breaker.manager.js';
import { MeshExceptionFilter } from './resilience/filters/mesh-exception.filter.js';

/** Injection token of the second argument of `forRoot` and `forRootAsync`. */
export const MESH_EXTRAS = Symbol('nestjs-mesh extras');

const UNTOLD_INVALIDATIONS =
  'Deletions from the cache stay in this instance: the broker\'s transport can\'t hand a message to every instance. Use another transport, or set cache.invalidation to "off".';

/** Joins the rooms: no room knows another, so what one needs of the other is connected here, once. */
@Injectable()
export class MeshAssembly {
  readonly #filters: readonly ExceptionFilter[];
  /** The components whose checks the health room has. */
  readonly #checked = new Set<string>();

  constructor(
    @Inject(MESH_EXTRAS) private readonly extras: MeshExtras,
    @Inject(ModuleRef) private readonly parts: ModuleRef,
    private readonly modules: ModulesContainer,
    private readonly application: ApplicationConfig,
  ) {
    // In the constructor, before Nest adds the filters of the user: theirs then win over ours.
    this.#filters =
      extras.errorFilter === false ? [] : [new MeshExceptionFilter(this.#get(HttpAdapterHost), this.#get(ServiceInfo))];
    application.useGlobalFilters(...this.#filters);
  }

  /** Runs before the first hook of the user's code, when every instance exists. */
  async assemble(): Promise<void> {
    const parts = {
      metrics: this.#get(MetricsClient),
      broker: this.#get(MessageBroker),
      cache: this.#get(CacheClient),
    };
    for (const [name, part] of Object.entries(parts)) assertPart(name as keyof ReplaceableParts, part);
    refuseKeyv6In(this.modules);
    this.#fillRuntime(parts.cache);
    adviseScheduledMethods(this.modules);
    this.#get(DecoratedMethodsExplorer).explore();
    this.#joinHealth();
    this.#shareBreakers(parts.cache);
    this.#get(ConfigStore<MeshConfig>).explainWith(policyExplainer(this.#get(CircuitBreakerManager)));
    const get: PartLookup = (token) => this.#get(token);
    new BuiltInComponents(get).register(parts);
    new MeshRoutes(get, this.extras).add(parts.metrics);
    this.#registerChecks();
    this.#observe(parts.metrics);
    await this.#connectHandlers(parts.broker);
  }

  /** Runs after the last `onModuleInit` of the user's code: what it declares is declared by now. */
  verifyPolicies(): void {
    const breakers = this.#get(CircuitBreakerManager);
    breakers.verify();
    breakers.announce();
  }

  /** Runs when every component has started: what the checks ask is there then. */
  async startHealth(): Promise<void> {
    this.#registerChecks();
    await this.#get(HealthAggregator).start();
  }

  /** Of all components that are there by now, each once; of two with one name the graph then tells. */
  #registerChecks(): void {
    for (const component of this.#get(MeshLifecycle).components()) {
      const contributor = fromComponent(component);
      if (!contributor || this.#checked.has(contributor.name)) continue;
      this.#checked.add(contributor.name);
      this.#get(HealthAggregator).register(contributor, `the component "${component.name}"`);
    }
  }

  #fillRuntime(cache: CacheClient): void {
    const runtime = this.#get(MeshRuntime);
    const breakers = this.#get(CircuitBreakerManager);
    runtime.provide(CircuitBreakerManager, breakers);
    runtime.provide(PolicyRunner, breakers);
    runtime.provide(CacheClient, cache);
    runtime.provide(CachedMethods, new CachedMethods());
    runtime.provide(CallContexts, this.#get(CallContexts));
    runtime.provide(JobIntake, this.#get(JobIntake));
  }

  #joinHealth(): void {
    const health = this.#get(HealthAggregator);
    this.#get(MeshEvents).on('lifecycle.phase', ({ phase }) => health.setPhase(phase));
    health.addSource('breaker', this.#get(CircuitBreakerManager));
    health.addSource('component', new LifecycleHealth(this.#get(MeshLifecycle)));
    new HealthContributorExplorer(this.modules, health).explore();
  }

  /** After the start, because the cache's second tier is itself protected by a breaker; the drain of `resilience` ends it. */
  #shareBreakers(cache: CacheClient): void {
    const breakers = this.#get(CircuitBreakerManager);
    this.#get(MeshEvents).on('lifecycle.phase', ({ phase }) => {
      if (phase === 'ready') breakers.share(cache, { except: [SECOND_TIER_POLICY_NAME] });
    });
  }

  /** What the rooms tell goes to metrics and log. The last lines of a shutdown are written before the process ends. */
  #observe(metrics: MetricsClient): void {
    const events = this.#get(MeshEvents);
    const intake = this.#get(HttpIntake);
    const sink = this.#get(LogSink);
    const log = this.#get(EventLog);
    const config = this.#get(ConfigStore<MeshConfig>);
    exposeServiceInfo(metrics, this.#get(ServiceInfo));
    const lifecycleMetrics = new LifecycleMetrics(metrics, events, intake);
    const eventMetrics = new EventMetrics(events, metrics);
    intake.addObserver(new HttpMetrics(metrics));
    intake.addObserver(new AccessLog(sink, config.section('logging')));
    this.#get(MeshLifecycle).addFlush(async () => {
      lifecycleMetrics.stop();
      eventMetrics.stop();
      log.stop();
      await sink.flush(config.snapshot.lifecycle.shutdown.flushMs);
    });
  }

  /** Handlers are known from now on; messages flow once the whole application is up. */
  async #connectHandlers(broker: MessageBroker): Promise<void> {
    const { inheritGlobals = true } = this.extras;
    const { work, problem } = this.#get(Tracing);
    if (problem !== undefined) this.#get(MeshEvents).emit('lifecycle.warning', { message: problem });
    const { broker: transport, cache } = this.#get(ConfigStore<MeshConfig>).snapshot;
    if (cache.invalidation === 'broker' && !reachesEveryInstance(transport))
      this.#get(MeshEvents).emit('lifecycle.warning', { message: UNTOLD_INVALIDATIONS });
    if (work) traceBroker(broker, work, transport.transport);
    await connectNestHandlers(this.parts, this.application, broker, { inheritGlobals, ownFilters: this.#filters });
    await connectSubscribers(this.parts, broker);
    const { startConsuming } = broker as { readonly startConsuming?: () => void };
    if (startConsuming)
      this.#get(MeshEvents).on('lifecycle.phase', ({ phase }) => {
        if (phase === 'ready') startConsuming.call(broker);
      });
  }

  #get<T>(token: abstract new (...args: never[]) => T): T {
    return this.parts.get<T>(token, { strict: false });
  }
}
