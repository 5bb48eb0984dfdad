import { type ExceptionFilter, Inject, Injectable } from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost, ModuleRef, ModulesContainer } from '@nestjs/core';
import { BrokerComponent } from './broker/broker.component.js';
import { connectNestHandlers, connectSubscribers } from './broker/nest/nest-handlers.js';
import { refuseKeyv6In } from './cache/cache-manager.adapter.js';
import { CachedMethods } from './cache/decorators/cached-methods.js';
import { SECOND_TIER_POLICY_NAME } from './cache/second-tier/second-tier.policy.js';
import { ConfigStore } from './config/config.store.js';
import { MessageBroker } from './core/broker.port.js';
import { CacheClient } from './core/cache.port.js';
import { CallContexts } from './core/call-context.js';
import { Clock } from './core/clock.js';
import type { MeshComponent } from './core/component.port.js';
import { Ids } from './core/ids.js';
import type { HealthReport } from './core/health.port.js';
import { MeshEvents } from './core/mesh.events.js';
import { MeshRuntime } from './core/mesh-runtime.js';
import { MetricsClient } from './core/metrics.port.js';
import { PolicyRunner } from './core/policy.port.js';
import type { RawRoute } from './core/raw-route.js';
import { ServiceInfo } from './core/service-info.js';
import { DecoratedMethodsExplorer } from './decorated-methods.explorer.js';
import { fromComponent } from './health/component.contributor.js';
import { HealthContributorExplorer } from './health/health-contributor.explorer.js';
import { HealthAggregator } from './health/health.aggregator.js';
import { HealthFormatter } from './health/health.formatter.js';
import { healthRoutes } from './health/health.routes.js';
import { HttpIntake } from './lifecycle/http.intake.js';
import { inboundContext } from './lifecycle/inbound-context.js';
import { LifecycleHealth } from './lifecycle/lifecycle.health.js';
import { LifecycleMetrics } from './lifecycle/lifecycle.metrics.js';
import { MeshLifecycle } from './lifecycle/mesh-lifecycle.js';
import { RawRouteTable } from './lifecycle/raw-route.table.js';
import { AccessLog } from './logging/access-log.js';
import { EventLog } from './logging/event-log.js';
import { LogSink } from './logging/log-sink.js';
import { PinoLog } from './logging/pino.adapter.js';
import { ConfigWiring, secondTierParticipant } from './mesh.config-wiring.js';
import { RoomsControl } from './mesh.control.js';
import type { MeshConfig } from './mesh.options.js';
import { EventMetrics } from './metrics/event.metrics.js';
import { HttpMetrics } from './metrics/http.metrics.js';
import { metricsRoute } from './metrics/metrics.route.js';
import { ProcessMetrics } from './metrics/process.metrics.js';
import { exposeServiceInfo } from './metrics/service.metrics.js';
import { traceBroker } from './ops/broker.tracing.js';
import { OperatorDrain } from './ops/operator-drain.js';
import { OpsListener } from './ops/ops.listener.js';
import { isOpsEnabled, OpsRoom } from './ops/ops.room.js';
import { Tracing } from './ops/traced-work.js';
import { TemporaryLogLevel } from './ops/temporary-log-level.js';
import { PartReplacer } from './replaceable/part-replacer.js';
import { assertPart, type MeshExtras, type ReplaceableParts } from './replacements.js';
import { CircuitBreakerManager } from './resilience/circuit-breaker.manager.js';
import { MeshExceptionFilter } from './resilience/filters/mesh-exception.filter.js';

/** Injection token of the second argument of `forRoot` and `forRootAsync`. */
export const MESH_EXTRAS = Symbol('nestjs-mesh extras');

/** Joins the rooms: no room knows another, so what one needs of the other is connected here, once. */
@Injectable()
export class MeshAssembly {
  readonly #filters: readonly ExceptionFilter[];

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
    this.#get(DecoratedMethodsExplorer).explore();
    this.#joinHealth();
    this.#shareBreakers(parts.cache);
    this.#registerParts(parts);
    this.#addRoutes(parts.metrics);
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
    const health = this.#get(HealthAggregator);
    for (const component of this.#get(MeshLifecycle).components()) {
      const contributor = fromComponent(component);
      if (contributor) health.register(contributor);
    }
    await health.start();
  }

  #fillRuntime(cache: CacheClient): void {
    const runtime = this.#get(MeshRuntime);
    const breakers = this.#get(CircuitBreakerManager);
    runtime.provide(CircuitBreakerManager, breakers);
    runtime.provide(PolicyRunner, breakers);
    runtime.provide(CacheClient, cache);
    runtime.provide(CachedMethods, new CachedMethods());
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
      asComponent('metrics', [], this.#metricsSteps(metrics)),
      asComponent('resilience', ['metrics'], {
        drain: ({ deadlineAt }) => breakers.drain({ deadlineAt }),
        stop: () => breakers.dispose(),
      }),
      asComponent('broker', ['resilience'], new BrokerComponent(broker)),
      asComponent('cache', ['broker'], currentSteps(cache)),
      // Its checks begin later, see startHealth().
      asComponent('health', ['cache'], { stop: () => health.stop() }),
      this.#configWiring(metrics),
    ])
      this.#get(MeshLifecycle).register(component, 'mesh');
  }

  #configWiring(metrics: MetricsClient): ConfigWiring {
    const replacer = this.#get(PartReplacer);
    const breakers = this.#get(CircuitBreakerManager);
    const wiring = new ConfigWiring({
      store: this.#get(ConfigStore<MeshConfig>),
      clock: this.#get(Clock),
      events: this.#get(MeshEvents),
      metrics,
      health: this.#get(HealthAggregator),
      replacer,
      participants: [
        { name: 'resilience', paths: ['resilience'], check: ({ next }) => breakers.verify(next.resilience) },
        secondTierParticipant(() => replacer.part('cache')),
      ],
    });
    this.#get(MeshLifecycle).addFlush(wiring.meter());
    return wiring;
  }

  /** The process's own metrics start and stop with the client; a replaced client may have steps of its own. */
  #metricsSteps(metrics: MetricsClient): Partial<Steps> {
    const own = metrics as Partial<Steps>;
    const { processMetrics } = this.#get(ConfigStore<MeshConfig>).snapshot.metrics;
    const process = processMetrics ? new ProcessMetrics(metrics) : undefined;
    return {
      start: async (context) => {
        await own.start?.(context);
        process?.start();
      },
      stop: async (context) => {
        process?.stop();
        await own.stop?.(context);
      },
    };
  }

  /** Probes, metrics and operators' endpoints: on the application's port, or all on one of their own. */
  #addRoutes(metrics: MetricsClient): void {
    const config = this.#get(ConfigStore<MeshConfig>);
    const { port, host } = config.snapshot.ops;
    const routes = port === false ? this.#get(HttpIntake) : this.#ownListener({ port, host });
    for (const route of this.#routes(metrics, config)) routes.addRoute(route);
  }

  #routes(metrics: MetricsClient, config: ConfigStore<MeshConfig>): readonly RawRoute[] {
    const { snapshot } = config;
    const probes = healthRoutes({
      health: this.#get(HealthAggregator),
      formatter: this.#get(HealthFormatter),
      options: config.section('health'),
      details: this.extras.healthDetails,
    });
    const { http } = snapshot.metrics;
    const scrape = http ? [metricsRoute(metrics, http.path)] : [];
    const ops = isOpsEnabled(snapshot.ops, process.env['NODE_ENV']) ? [this.#opsRoom(config).route] : [];
    return [...probes, ...scrape, ...ops];
  }

  #ownListener(options: { readonly port: number; readonly host: string }): Pick<HttpIntake, 'addRoute'> {
    const contexts = this.#get(CallContexts);
    const clock = this.#get(Clock);
    const ids = this.#get(Ids);
    const events = this.#get(MeshEvents);
    const table = new RawRouteTable(events);
    const listener = new OpsListener(options, events, (request, response) => {
      void contexts.run(inboundContext(request.headers, clock, ids), () => table.serve(request, response));
    });
    this.#get(MeshLifecycle).register(listener, 'mesh');
    return { addRoute: (route) => table.add(route) };
  }

  #opsRoom(config: ConfigStore<MeshConfig>): OpsRoom {
    const clock = this.#get(Clock);
    const sink = this.#get(LogSink);
    const logLevel =
      sink instanceof PinoLog ? new TemporaryLogLevel(config.section('logging'), sink.pino, clock) : undefined;
    const health = this.#get(HealthAggregator);
    const drain = new OperatorDrain();
    health.addSource('ops', drain);
    const control = new RoomsControl({
      service: this.#get(ServiceInfo),
      config,
      lifecycle: this.#get(MeshLifecycle),
      breakers: this.#get(CircuitBreakerManager),
      health,
      drain,
      ...(logLevel && { logLevel }),
    });
    const events = this.#get(MeshEvents);
    const room = new OpsRoom(config.section('ops'), { control, events, clock, guard: this.extras.opsGuard });
    this.#get(MeshLifecycle).addFlush(() => {
      logLevel?.stop();
      room.stop();
    });
    return room;
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
    if (work) traceBroker(broker, work, this.#get(ConfigStore<MeshConfig>).snapshot.broker.transport ?? 'in-process');
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

type Steps = Required<Pick<MeshComponent, 'start' | 'drain' | 'stop' | 'check'>>;

/** The steps of a part that may be another one by the time that they run. */
function currentSteps(part: object): Steps {
  const current: Partial<Steps> & { readHealth?(): readonly HealthReport[] } = part;
  return {
    start: (context) => current.start?.(context),
    drain: (context) => current.drain?.(context),
    stop: (context) => current.stop?.(context),
    check: (context) => current.check?.(context) ?? current.readHealth?.()[0] ?? { status: 'up' },
  };
}

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
