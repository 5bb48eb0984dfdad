import { ConfigStore } from './config/config.store.js';
import { CallContexts } from './core/call-context.js';
import { Clock } from './core/clock.js';
import { Ids } from './core/ids.js';
import { MeshEvents } from './core/mesh.events.js';
import type { MetricsClient } from './core/metrics.port.js';
import type { RawRoute } from './core/raw-route.js';
import { ServiceInfo } from './core/service-info.js';
import { HealthAggregator } from './health/health.aggregator.js';
import { HealthFormatter } from './health/health.formatter.js';
import { healthRoutes } from './health/health.routes.js';
import { HttpIntake } from './lifecycle/http.intake.js';
import { contextHeaders, inboundContext } from './lifecycle/inbound-context.js';
import { MeshLifecycle } from './lifecycle/mesh-lifecycle.js';
import { RawRouteTable } from './lifecycle/raw-route.table.js';
import { LogSink } from './logging/log-sink.js';
import { PinoLog } from './logging/pino.adapter.js';
import { RoomsControl } from './mesh.control.js';
import type { MeshConfig } from './mesh.options.js';
import type { PartLookup } from './mesh.providers.js';
import { metricsRoute } from './metrics/metrics.route.js';
import { OperatorDrain } from './ops/operator-drain.js';
import { OpsListener } from './ops/ops.listener.js';
import { isOpsEnabled, OpsRoom } from './ops/ops.room.js';
import { TemporaryLogLevel } from './ops/temporary-log-level.js';
import type { MeshExtras } from './replacements.js';
import { CircuitBreakerManager } from './resilience/circuit-breaker.manager.js';

/** Probes, metrics and operators' endpoints: on the application's port, or all on one of their own. */
export class MeshRoutes {
  constructor(
    private readonly get: PartLookup,
    private readonly extras: MeshExtras,
  ) {}

  add(metrics: MetricsClient): void {
    const config = this.get(ConfigStore<MeshConfig>);
    const { port, host } = config.snapshot.ops;
    const routes = port === false ? this.get(HttpIntake) : this.#ownListener({ port, host });
    for (const route of this.#routes(metrics, config)) routes.addRoute(route);
  }

  #routes(metrics: MetricsClient, config: ConfigStore<MeshConfig>): readonly RawRoute[] {
    const { snapshot } = config;
    const probes = healthRoutes({
      health: this.get(HealthAggregator),
      formatter: this.get(HealthFormatter),
      options: config.section('health'),
      details: this.extras.healthDetails,
    });
    const { http } = snapshot.metrics;
    const scrape = http ? [metricsRoute(metrics, http.path)] : [];
    const ops = isOpsEnabled(snapshot.ops, process.env['NODE_ENV']) ? [this.#opsRoom(config).route] : [];
    return [...probes, ...scrape, ...ops];
  }

  #ownListener(options: { readonly port: number; readonly host: string }): Pick<HttpIntake, 'addRoute'> {
    const contexts = this.get(CallContexts);
    const clock = this.get(Clock);
    const ids = this.get(Ids);
    const events = this.get(MeshEvents);
    const table = new RawRouteTable(events);
    const listener = new OpsListener(options, events, (request, response) => {
      void contexts.run(inboundContext(contextHeaders(request.rawHeaders), clock, ids), () =>
        table.serve(request, response),
      );
    });
    this.get(MeshLifecycle).register(listener, 'mesh');
    return { addRoute: (route) => table.add(route) };
  }

  #opsRoom(config: ConfigStore<MeshConfig>): OpsRoom {
    const clock = this.get(Clock);
    const sink = this.get(LogSink);
    const logLevel =
      sink instanceof PinoLog ? new TemporaryLogLevel(config.section('logging'), sink.pino, clock) : undefined;
    const health = this.get(HealthAggregator);
    const drain = new OperatorDrain();
    health.addSource('ops', drain);
    const control = new RoomsControl({
      service: this.get(ServiceInfo),
      config,
      lifecycle: this.get(MeshLifecycle),
      breakers: this.get(CircuitBreakerManager),
      health,
      drain,
      ...(logLevel && { logLevel }),
    });
    const events = this.get(MeshEvents);
    const room = new OpsRoom(config.section('ops'), { control, events, clock, guard: this.extras.opsGuard });
    this.get(MeshLifecycle).addFlush(() => {
      logLevel?.stop();
      room.stop();
    });
    return room;
  }
}
