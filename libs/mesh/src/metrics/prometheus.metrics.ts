import type { LiveOptions } from '../core/live-options.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { MeshEvents } from '../core/mesh.events.js';
import {
  type Counter,
  type Gauge,
  type Histogram,
  type HistogramDefinition,
  type MetricDefinition,
  type MetricFamily,
  MetricsClient,
  type MetricsExposition,
} from '../core/metrics.port.js';
import { CONTENT_TYPES, type ExpositionFormat, ExpositionWriter, negotiateFormat } from './exposition.writer.js';
import type { ForeignReader } from './foreign.reader.js';
import { type AnyFamily, CellFamily, type FamilyObserver, type MetricType } from './metric.family.js';
import { CounterCell, GaugeCell, type HistogramCell, HistogramPool } from './metric-cells.js';
import type { MetricsOptions } from './metrics.options.js';

export interface MetricDescription {
  readonly name: string;
  readonly type: MetricType;
  readonly help: string;
  readonly labels: readonly string[];
}

/**
 * Metrics of one application in the formats of Prometheus and OpenMetrics.
 *
 * An update is a plain addition to a cell; text is made at the scrape. Nothing is shared between two applications of a
 * process, except the metrics that `foreign` brings.
 */
export class PrometheusMetrics extends MetricsClient {
  readonly #families = new Map<string, AnyFamily>();
  readonly #collectors = new Set<() => void>();
  readonly #scrapes = new Map<ExpositionFormat, Promise<MetricsExposition>>();
  readonly #options: LiveOptions<MetricsOptions>;
  readonly #foreign: ForeignReader | undefined;
  readonly #observer: FamilyObserver;
  readonly #collectErrors: Counter;

  constructor(options: LiveOptions<MetricsOptions>, events: MeshEvents, foreign?: ForeignReader) {
    super();
    this.#options = options;
    this.#foreign = foreign;
    const overflowing = new Set<string>();
    this.#observer = {
      seriesDropped: (metric) => {
        dropped.with({ metric }).inc();
        if (overflowing.has(metric)) return;
        overflowing.add(metric);
        events.emit('metrics.overflow', { metric, limit: options.current.maxSeriesPerMetric });
      },
      updateRejected: (metric) => rejected.with({ metric }).inc(),
    };
    const dropped = this.#perMetric(
      'mesh_metric_series_dropped_total',
      'Label sets beyond the limit of their metric, counted in its overflow series instead.',
    );
    const rejected = this.#perMetric(
      'mesh_metric_updates_rejected_total',
      'Updates that were left out because the value was negative or not a number.',
    );
    this.#collectErrors = this.counter({
      name: 'mesh_metric_collect_errors_total',
      help: 'Callbacks and foreign metrics that threw or hung at a scrape and were left out of it.',
    }).with({});
  }

  override counter<L extends string = never>(definition: MetricDefinition<L>): MetricFamily<L, Counter> {
    return this.#family('counter', definition, (family) => new CounterCell(family.reject));
  }

  override gauge<L extends string = never>(definition: MetricDefinition<L>): MetricFamily<L, Gauge> {
    return this.#family('gauge', definition, () => new GaugeCell());
  }

  override histogram<L extends string = never>(definition: HistogramDefinition<L>): MetricFamily<L, Histogram> {
    let pool: HistogramPool | undefined;
    return this.#family('histogram', definition, ({ buckets, reject }) => {
      pool ??= new HistogramPool(buckets, reject);
      return pool.open();
    });
  }

  override onCollect(callback: () => void): () => void {
    this.#collectors.add(callback);
    return () => void this.#collectors.delete(callback);
  }

  /** Scrapes that arrive while one is being written share its text. */
  override expose(accept?: string): Promise<MetricsExposition> {
    const format = negotiateFormat(accept);
    const running = this.#scrapes.get(format);
    if (running) return running;
    const scrape = this.#write(format).finally(() => this.#scrapes.delete(format));
    this.#scrapes.set(format, scrape);
    return scrape;
  }

  /** What is defined so far: for documents and for checks of dashboards and rules. */
  describe(): MetricDescription[] {
    return [...this.#families.values()].map(({ name, type, help, labels }) => ({ name, type, help, labels }));
  }

  async #write(format: ExpositionFormat): Promise<MetricsExposition> {
    for (const collect of this.#collectors) {
      try {
        collect();
      } catch {
        this.#collectErrors.inc();
      }
    }
    const writer = new ExpositionWriter(format);
    for (const family of this.#families.values()) await writer.family(family);
    if (this.#foreign && this.#options.current.includeDefaultRegistry) await this.#writeForeign(writer, this.#foreign);
    return { contentType: CONTENT_TYPES[format], body: writer.end() };
  }

  async #writeForeign(writer: ExpositionWriter, foreign: ForeignReader): Promise<void> {
    // The same name twice would make the whole scrape invalid: ours wins.
    for await (const metric of foreign.read((name) => !this.#families.has(name))) {
      try {
        if (typeof metric === 'string') this.#collectErrors.inc();
        else await writer.foreign(metric);
      } catch {
        this.#collectErrors.inc();
      }
    }
  }

  /** A counter of our own bookkeeping: without a limit, or its own overflow would count itself for ever. */
  #perMetric(name: string, help: string): MetricFamily<'metric', Counter> {
    return this.#family('counter', { name, help, labels: ['metric'] }, (family) => new CounterCell(family.reject), {
      limit: () => Infinity,
    });
  }

  #family<L extends string, C extends CounterCell | GaugeCell | HistogramCell>(
    type: MetricType,
    definition: MetricDefinition<L> | HistogramDefinition<L>,
    create: (family: AnyFamily) => C,
    { limit = () => this.#options.current.maxSeriesPerMetric } = {},
  ): MetricFamily<L, C> {
    const family = new CellFamily<C>({
      type,
      definition,
      create,
      limit,
      observer: this.#observer,
    });
    const existing = this.#families.get(family.name);
    if (existing) {
      checkSame(existing, family as unknown as AnyFamily);
      return existing as unknown as MetricFamily<L, C>;
    }
    this.#families.set(family.name, family as unknown as AnyFamily);
    return family;
  }
}

function checkSame(existing: AnyFamily, again: AnyFamily): void {
  const shape = ({ type, labels, buckets }: AnyFamily): string =>
    `a ${type} with labels [${labels.join(', ')}]${type === 'histogram' ? ` and buckets [${buckets.join(', ')}]` : ''}`;
  if (shape(existing) === shape(again)) return;
  throw new MeshConfigError(
    `Metric "${existing.name}" is ${shape(existing)} and can't be defined again as ${shape(again)}; use another name.`,
    { metric: existing.name },
  );
}
