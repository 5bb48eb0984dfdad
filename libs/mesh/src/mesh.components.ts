import { BrokerComponent } from './broker/broker.component.js';
import { ConfigStore } from './config/config.store.js';
import { Clock } from './core/clock.js';
import type { MeshComponent } from './core/component.port.js';
import { EventLoopSampler } from './core/event-loop.sampler.js';
import type { HealthReport } from './core/health.port.js';
import { MeshEvents } from './core/mesh.events.js';
import type { MetricsClient } from './core/metrics.port.js';
import { HealthAggregator } from './health/health.aggregator.js';
import { MeshLifecycle } from './lifecycle/mesh-lifecycle.js';
import { ConfigWiring, secondTierParticipant } from './mesh.config-wiring.js';
import type { MeshConfig } from './mesh.options.js';
import type { PartLookup } from './mesh.providers.js';
import { ProcessMetrics } from './metrics/process.metrics.js';
import { PartReplacer } from './replaceable/part-replacer.js';
import type { ReplaceableParts } from './replacements.js';
import { CircuitBreakerManager } from './resilience/circuit-breaker.manager.js';

/** The mesh's own parts as components of the lifecycle, in their order. */
export class BuiltInComponents {
  constructor(private readonly get: PartLookup) {}

  /** The graph of the mesh's own parts; a replacement takes the built-in's place in it. */
  register({ metrics, broker, cache }: ReplaceableParts): void {
    const breakers = this.get(CircuitBreakerManager);
    const health = this.get(HealthAggregator);
    const unfollow = [
      this.#follow('broker.connection', 'broker', broker),
      this.#follow('cache.second-tier', 'cache', cache),
    ];
    for (const component of [
      asComponent('metrics', [], this.#metricsSteps(metrics)),
      asComponent('resilience', ['metrics'], {
        drain: ({ signal }) => breakers.drain({ signal }),
        stop: ({ deadlineAt }) => breakers.stop({ deadlineAt }),
      }),
      asComponent('broker', ['resilience'], new BrokerComponent(broker)),
      asComponent('cache', ['broker'], currentSteps(cache)),
      // Its checks begin later, see startHealth().
      asComponent('health', ['cache'], {
        stop: () => {
          for (const stop of unfollow) stop();
          health.stop();
        },
      }),
      this.#configWiring(metrics),
    ])
      this.get(MeshLifecycle).register(component, 'mesh');
  }

  /** A connection that is lost or found shows at once, not with one of the next checks. */
  #follow(event: 'broker.connection' | 'cache.second-tier', name: string, part: object): () => void {
    const current: Reporting = part;
    return this.get(MeshEvents).on(event, () => {
      const reports = current.readHealth?.();
      if (reports) this.get(HealthAggregator).update(name, worst(reports));
    });
  }

  #configWiring(metrics: MetricsClient): ConfigWiring {
    const replacer = this.get(PartReplacer);
    const breakers = this.get(CircuitBreakerManager);
    const wiring = new ConfigWiring({
      store: this.get(ConfigStore<MeshConfig>),
      clock: this.get(Clock),
      events: this.get(MeshEvents),
      metrics,
      health: this.get(HealthAggregator),
      replacer,
      components: () => this.get(MeshLifecycle).components(),
      participants: [
        { name: 'resilience', paths: ['resilience'], check: ({ next }) => breakers.verify(next.resilience) },
        secondTierParticipant(() => replacer.part('cache')),
      ],
    });
    this.get(MeshLifecycle).addFlush(wiring.meter());
    return wiring;
  }

  /** The process's own metrics start and stop with the client; a replaced client may have steps of its own. */
  #metricsSteps(metrics: MetricsClient): Partial<Steps> {
    const own = metrics as Partial<Steps>;
    const { processMetrics } = this.get(ConfigStore<MeshConfig>).snapshot.metrics;
    const process = processMetrics ? new ProcessMetrics(metrics, this.get(EventLoopSampler)) : undefined;
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
}

/** A part that knows how it is without asking anybody. */
interface Reporting {
  readHealth?(): readonly HealthReport[];
}

type Steps = Required<Pick<MeshComponent, 'start' | 'drain' | 'stop' | 'check'>>;

/** The steps of a part that may be another one by the time that they run. */
function currentSteps(part: object): Steps {
  const current: Partial<Steps> & Reporting = part;
  return {
    start: (context) => current.start?.(context),
    drain: (context) => current.drain?.(context),
    stop: (context) => current.stop?.(context),
    check: (context) => current.check?.(context) ?? worst(current.readHealth?.() ?? []),
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

const BADNESS = { up: 0, degraded: 1, down: 2 } as const;

/** The worst of what a part says about itself: its second tier may be well and its bus away. */
function worst(reports: readonly HealthReport[]): HealthReport {
  return reports.reduce<HealthReport>(
    (found, report) => (BADNESS[report.status] > BADNESS[found.status] ? report : found),
    reports[0] ?? { status: 'up' },
  );
}
