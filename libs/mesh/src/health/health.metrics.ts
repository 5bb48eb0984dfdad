import type { HealthGroup, HealthMembership, HealthState, HealthStatus } from '../core/health.port.js';
import type { Gauge, Histogram, MetricFamily, MetricsClient } from '../core/metrics.port.js';
import { statusIn } from './health-group.js';

const VALUE: Readonly<Record<HealthStatus, number>> = { up: 1, degraded: 0.5, down: 0 };

/** The room's numbers. Gauges are set when somebody collects; only a check's duration is kept as it happens. */
export class HealthMetrics {
  readonly #components: MetricFamily<'component' | 'group', Gauge>;
  readonly #groups: MetricFamily<'group', Gauge>;
  readonly #durations: MetricFamily<'component', Histogram>;
  readonly #duration = new Map<string, Histogram>();
  readonly #shown = new Map<string, Map<HealthGroup, Gauge>>();

  constructor(metrics: MetricsClient) {
    this.#components = metrics.gauge({
      name: 'mesh_component_health',
      help: 'State of a contributor, also of an optional one, by group that it counts in: 1 up, 0.5 degraded, 0 down.',
      labels: ['component', 'group'],
    });
    this.#groups = metrics.gauge({
      name: 'mesh_health_status',
      help: 'Health of a group, which is what its probe answers: 1 up, 0.5 degraded, 0 down.',
      labels: ['group'],
    });
    this.#durations = metrics.histogram({
      name: 'mesh_health_check_duration_seconds',
      help: 'How long health checks take.',
      labels: ['component'],
    });
  }

  checked(component: string, durationMs: number): void {
    let histogram = this.#duration.get(component);
    if (!histogram) this.#duration.set(component, (histogram = this.#durations.with({ component })));
    histogram.observe(durationMs / 1_000);
  }

  group(group: HealthGroup, status: HealthStatus): void {
    this.#groups.with({ group }).set(VALUE[status]);
  }

  component(component: string, state: HealthState, groups: HealthMembership): void {
    let shown = this.#shown.get(component);
    if (!shown) this.#shown.set(component, (shown = new Map()));
    for (const group of Object.keys(groups)) {
      let gauge = shown.get(group);
      if (!gauge) shown.set(group, (gauge = this.#components.with({ component, group })));
      gauge.set(VALUE[statusIn({ name: component, state }, 'required')]);
    }
    // A gauge can't be taken back: one that no longer means anything reads NaN, which no alert compares true with.
    for (const [group, gauge] of shown) if (groups[group] === undefined) gauge.set(Number.NaN);
  }

  remove(component: string): void {
    for (const gauge of this.#shown.get(component)?.values() ?? []) gauge.set(Number.NaN);
    this.#shown.delete(component);
    this.#duration.delete(component);
  }
}
