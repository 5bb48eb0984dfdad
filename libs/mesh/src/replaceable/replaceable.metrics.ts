import {
  type Counter,
  type Gauge,
  type Histogram,
  type HistogramDefinition,
  type Labels,
  type MetricDefinition,
  type MetricFamily,
  MetricsClient,
} from '../core/metrics.port.js';
import { type CurrentFamily, FollowingCounter, FollowingGauge, FollowingHistogram } from './metric-handles.js';
import type { PreparedReplacement, ReplaceablePart } from './replaceable-part.js';
import { StandIn } from './stand-in.js';

/** A family that was handed out, with how the successor is asked for it. */
interface Family<H> extends CurrentFamily<H> {
  family: MetricFamily<string, H>;
  define(client: MetricsClient): MetricFamily<string, H>;
  /** By its labels' values, which are few by contract: gauges are brought to a successor before anybody asks for them. */
  readonly gauges: Map<string, FollowingGauge>;
}

interface Collector {
  readonly callback: () => void;
  end: () => void;
}

/** A client of metrics whose families, handles and collectors follow it to its successor. */
export class ReplaceableMetrics implements ReplaceablePart<MetricsClient> {
  readonly #standIn: StandIn<MetricsClient>;
  readonly #families = new Map<string, Family<unknown>>();
  readonly #collectors = new Set<Collector>();

  constructor(client: MetricsClient) {
    this.#standIn = new StandIn(MetricsClient, client, {
      counter: (definition) => this.#counter(definition),
      gauge: (definition) => this.#gauge(definition),
      histogram: (definition) => this.#histogram(definition),
      onCollect: (callback) => this.#onCollect(callback),
    });
  }

  get face(): MetricsClient {
    return this.#standIn.face;
  }

  get part(): MetricsClient {
    return this.#standIn.part;
  }

  prepare(next: MetricsClient): PreparedReplacement {
    const defined = new Map(Array.from(this.#families.values(), (each) => [each, each.define(next)]));
    const collected = new Map(Array.from(this.#collectors, (each) => [each, next.onCollect(each.callback)]));
    return {
      commit: () => {
        this.#standIn.switchTo(next);
        for (const each of this.#families.values()) {
          each.family = defined.get(each) ?? each.define(next);
          for (const gauge of each.gauges.values()) gauge.carryOver();
        }
        for (const each of this.#collectors) {
          each.end();
          each.end = collected.get(each) ?? next.onCollect(each.callback);
        }
        for (const [each, end] of collected) if (!this.#collectors.has(each)) end();
      },
      discard: () => {
        for (const end of collected.values()) end();
      },
    };
  }

  #counter<L extends string>(definition: MetricDefinition<L>): MetricFamily<L, Counter> {
    const family = this.#family(definition.name, (client) => client.counter(definition));
    return { with: (labels) => new FollowingCounter(family, labels) };
  }

  #histogram<L extends string>(definition: HistogramDefinition<L>): MetricFamily<L, Histogram> {
    const family = this.#family(definition.name, (client) => client.histogram(definition));
    return { with: (labels) => new FollowingHistogram(family, labels) };
  }

  #gauge<L extends string>(definition: MetricDefinition<L>): MetricFamily<L, Gauge> {
    const family = this.#family(definition.name, (client) => client.gauge(definition));
    return {
      with: (labels: Labels<L>) => {
        const key = JSON.stringify(Object.entries(labels).toSorted());
        const gauge = family.gauges.get(key) ?? new FollowingGauge(family, labels);
        family.gauges.set(key, gauge);
        return gauge;
      },
    };
  }

  /** Asked of the client every time: it refuses a name that is taken by something else. */
  #family<H>(name: string, define: (client: MetricsClient) => MetricFamily<string, H>): Family<H> {
    const family = define(this.part);
    const known = this.#families.get(name) as Family<H> | undefined;
    if (known) return known;
    const created: Family<H> = { family, define, gauges: new Map() };
    this.#families.set(name, created as Family<unknown>);
    return created;
  }

  #onCollect(callback: () => void): () => void {
    const collector: Collector = { callback, end: this.part.onCollect(callback) };
    this.#collectors.add(collector);
    return () => {
      this.#collectors.delete(collector);
      collector.end();
    };
  }
}
