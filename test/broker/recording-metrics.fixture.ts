import type {
  Counter,
  Gauge,
  Histogram,
  Labels,
  MetricDefinition,
  MetricFamily,
  MetricsExposition,
} from '../../libs/mesh/src/core/metrics.port.js';
import { MetricsClient } from '../../libs/mesh/src/core/metrics.port.js';

/** A metrics client that keeps the last value of each series, for specs. */
export class RecordingMetrics extends MetricsClient {
  readonly values = new Map<string, number>();
  readonly #collectors = new Set<() => void>();

  /** The value of a series, written `name{label="value"}` with the labels in order of definition. */
  read(series: string): number {
    for (const collect of this.#collectors) collect();
    return this.values.get(series) ?? 0;
  }

  override counter<L extends string = never>(definition: MetricDefinition<L>): MetricFamily<L, Counter> {
    return this.#family(definition, (add) => ({ inc: (by = 1) => add(by) }));
  }

  override gauge<L extends string = never>(definition: MetricDefinition<L>): MetricFamily<L, Gauge> {
    return this.#family(definition, (add, set) => ({ set, inc: (by = 1) => add(by), dec: (by = 1) => add(-by) }));
  }

  override histogram<L extends string = never>(definition: MetricDefinition<L>): MetricFamily<L, Histogram> {
    return this.#family(definition, (add) => ({ observe: () => add(1) }));
  }

  override onCollect(callback: () => void): () => void {
    this.#collectors.add(callback);
    return () => void this.#collectors.delete(callback);
  }

  override async expose(): Promise<MetricsExposition> {
    return { contentType: 'text/plain', body: '' };
  }

  #family<L extends string, H>(
    { name, labels = [] }: MetricDefinition<L>,
    bind: (add: (by: number) => void, set: (value: number) => void) => H,
  ): MetricFamily<L, H> {
    return {
      with: (values: Labels<L>) => {
        const series = `${name}{${labels.map((label) => `${label}="${values[label]}"`).join(',')}}`;
        const set = (value: number): void => void this.values.set(series, value);
        return bind((by) => set((this.values.get(series) ?? 0) + by), set);
      },
    };
  }
}
