import { Inject, Injectable } from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost, ModuleRef, ModulesContainer } from '@nestjs/core';
import { ConfigStore } from './config/config.store.js';
import { MessageBroker } from './core/broker.port.js';
import { CacheClient } from './core/cache.port.js';
import type { MeshComponent } from './core/component.port.js';
import { MeshEvents } from './core/mesh.events.js';
import { MeshRuntime } from './core/mesh-runtime.js';
import { MetricsClient } from './core/metrics.port.js';
import { PolicyRunner } from './core/policy.port.js';
import { ServiceInfo } from './core/service-info.js';
import { DecoratedMethodsExplorer } from './decorated-methods.explorer.js';
import { HealthContributorExplorer } from './health/health-contributor.explorer.js';
import { HealthAggregator } from './health/health.aggregator.js';
import { HealthFormatter } from './health/health.formatter.js';
import { healthRoutes } from './health/health.routes.js';
import { HttpIntake } from './lifecycle/http.intake.js';
import { MeshLifecycle } from './lifecycle/mesh-lifecycle.js';
import { EventLog } from './logging/event-log.js';
import { LogSink } from './logging/log-sink.js';
import type { MeshConfig } from './mesh.options.js';
import { metricsRoute } from './metrics/metrics.route.js';
import { assertParts, type MeshExtras } from './replacements.js';
import { CircuitBreakerManager } from './resilience/circuit-breaker.manager.js';
import { MeshExceptionFilter } from './resilience/filters/mesh-exception.filter.js';

/** Injection token of the second argument of `forRoot` and `forRootAsync`. */
export const MESH_EXTRAS = Symbol('nestjs-mesh extras');

/** Joins the rooms: no room knows another, so what one needs of the other is connected here, once. */
@Injectable()
export class MeshAssembly {
  constructor(
    @Inject(MESH_EXTRAS) private readonly extras: MeshExtras,
    @Inject(ModuleRef) private readonly parts: ModuleRef,
    private readonly modules: ModulesContainer,
    application: ApplicationConfig,
  ) {
    // In the constructor, before Nest adds the filters of the user: theirs then win over ours.
    if (extras.errorFilter !== false)
      application.useGlobalFilters(new MeshExceptionFilter(this.#get(HttpAdapterHost), this.#get(ServiceInfo)));
  }

  /** Runs before the first hook of the user's code, when every instance exists. */
  async assemble(): Promise<void> {
    const parts = {
      metrics: this.#get(MetricsClient),
      broker: this.#get(MessageBroker),
      cache: this.#get(CacheClient),
    };
    assertParts(parts);
    this.#fillRuntime(parts.cache);
    this.#get(DecoratedMethodsExplorer).explore();
    this.#joinHealth();
    this.#registerParts(parts);
    this.#addRoutes(parts.metrics);
    this.#keepLogs();
  }

  #fillRuntime(cache: CacheClient): void {
    const runtime = this.#get(MeshRuntime);
    const breakers = this.#get(CircuitBreakerManager);
    runtime.provide(CircuitBreakerManager, breakers);
    runtime.provide(PolicyRunner, breakers);
    runtime.provide(CacheClient, cache);
  }

  #joinHealth(): void {
    const health = this.#get(HealthAggregator);
    this.#get(MeshEvents).on('lifecycle.phase', ({ phase }) => health.setPhase(phase));
    health.addSource('breaker', this.#get(CircuitBreakerManager));
    new HealthContributorExplorer(this.modules, health).explore();
  }

  /** The graph of the mesh's own parts; a replacement takes the built-in's place in it. */
  #registerParts({
    metrics,
    broker,
    cache,
  }: {
    metrics: MetricsClient;
    broker: MessageBroker;
    cache: CacheClient;
  }): void {
    const breakers = this.#get(CircuitBreakerManager);
    const health = this.#get(HealthAggregator);
    for (const component of [
      asComponent('metrics', [], metrics),
      asComponent('resilience', ['metrics'], {
        drain: ({ deadlineAt }) => breakers.drain({ deadlineAt }),
        stop: () => breakers.dispose(),
      }),
      asComponent('broker', ['resilience'], broker),
      asComponent('cache', ['broker'], cache),
      asComponent('health', ['cache'], health),
    ])
      this.#get(MeshLifecycle).register(component, 'mesh');
  }

  #addRoutes(metrics: MetricsClient): void {
    const intake = this.#get(HttpIntake);
    const config = this.#get(ConfigStore<MeshConfig>);
    const routes = healthRoutes({
      health: this.#get(HealthAggregator),
      formatter: this.#get(HealthFormatter),
      options: config.section('health'),
      details: this.extras.healthDetails,
    });
    for (const route of routes) intake.addRoute(route);
    intake.addRoute(metricsRoute(metrics, '/metrics'));
  }

  /** The last lines of a shutdown are written before the process ends. */
  #keepLogs(): void {
    const log = this.#get(EventLog);
    const sink = this.#get(LogSink);
    const { flushMs } = this.#get(ConfigStore<MeshConfig>).snapshot.lifecycle.shutdown;
    this.#get(MeshLifecycle).addFlush(async () => {
      log.stop();
      await sink.flush(flushMs);
    });
  }

  #get<T>(token: abstract new (...args: never[]) => T): T {
    return this.parts.get<T>(token, { strict: false });
  }
}

type Steps = Pick<MeshComponent, 'start' | 'drain' | 'stop' | 'check'>;

/** A part as a component of the graph: with those steps that it has. */
function asComponent(name: string, dependsOn: readonly string[], part: Partial<Steps> | object): MeshComponent {
  const { start, drain, stop, check } = part as Partial<Steps>;
  return {
    name,
    dependsOn,
    ...(typeof start === 'function' && { start: start.bind(part) }),
    ...(typeof drain === 'function' && { drain: drain.bind(part) }),
    ...(typeof stop === 'function' && { stop: stop.bind(part) }),
    ...(typeof check === 'function' && { check: check.bind(part) }),
  };
}
