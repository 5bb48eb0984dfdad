import { CallContexts } from '../../../libs/mesh/src/core/call-context.js';
import { EventLoopSampler } from '../../../libs/mesh/src/core/event-loop.sampler.js';
import type { HealthContributor, HealthReport } from '../../../libs/mesh/src/core/health.port.js';
import { SystemIds } from '../../../libs/mesh/src/core/ids.js';
import { fixedOptions, SettableOptions } from '../../../libs/mesh/src/core/live-options.js';
import { MeshEvents } from '../../../libs/mesh/src/core/mesh.events.js';
import { metricsSchema } from '../../../libs/mesh/src/metrics/metrics.options.js';
import { PrometheusMetrics } from '../../../libs/mesh/src/metrics/prometheus.metrics.js';
import { VirtualClock } from '../../../libs/mesh/src/testing/virtual-clock.js';
import { HealthAggregator } from '../../../libs/mesh/src/health/health.aggregator.js';
import { healthSchema, type HealthOptions } from '../../../libs/mesh/src/health/health.options.js';

export const EVERY_MS = 10_000;
/** An interval with the most that jitter can add. */
export const CYCLE_MS = EVERY_MS * 1.1 + 1;

/** A {@link HealthAggregator} on a virtual clock, and what it has told. */
export class HealthFixture {
  readonly clock = new VirtualClock();
  readonly contexts = new CallContexts();
  readonly events = new MeshEvents();
  readonly metrics = new PrometheusMetrics(fixedOptions(metricsSchema.parse({ processMetrics: false })), this.events);
  readonly options: SettableOptions<HealthOptions>;
  readonly health: HealthAggregator;
  readonly log: string[] = [];

  constructor(options: unknown = {}) {
    this.options = new SettableOptions(healthSchema.parse(options));
    this.health = new HealthAggregator(this.options, {
      clock: this.clock,
      contexts: this.contexts,
      eventLoop: new EventLoopSampler(this.clock),
      ids: new SystemIds(),
      events: this.events,
      metrics: this.metrics,
    });
    this.events.on('health.transition', ({ contributor: name, from, to }) => this.log.push(`${name}: ${from} > ${to}`));
  }

  /** Starts, lets every first check end, and enters the phase `ready`. */
  async run(): Promise<void> {
    const started = this.health.start();
    await this.clock.advance(1_100);
    await started;
    this.health.setPhase('ready');
    await this.clock.advance(0);
  }
}

/** A contributor that reports what `answer` returns, and counts how often it is asked. */
export class Dependency {
  asked = 0;
  answer: () => HealthReport | void | Promise<HealthReport | void> = () => undefined;
  readonly contributor: HealthContributor;

  constructor(name: string, options: Partial<HealthContributor>) {
    this.contributor = {
      name,
      groups: { ready: 'required' },
      check: () => {
        this.asked++;
        return this.answer();
      },
      ...options,
    };
  }
}

export function contributor(name: string, options: Partial<HealthContributor> = {}): Dependency {
  return new Dependency(name, options);
}

export const fails =
  (message = 'gone') =>
  (): never => {
    throw new Error(message);
  };
export const hangs = () => new Promise<void>(() => undefined);
