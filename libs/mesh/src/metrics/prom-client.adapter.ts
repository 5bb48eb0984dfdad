import { register } from 'prom-client';
import type { ForeignMetric } from './exposition.writer.js';
import { labelText } from './metric.family.js';

/** Where metrics come from that the mesh did not make: read at each scrape. */
export interface ForeignMetrics {
  /** Names of all metrics, cheap to ask. */
  names(): readonly string[];
  /** The metric with its values now; rejects when the code that computes them throws. */
  read(name: string): Promise<ForeignMetric | undefined>;
}

/**
 * The metrics of prom-client's process-wide registry: there @willsoto/nestjs-prometheus, and most code that uses
 * prom-client, keeps its own. All applications of a process see the same ones.
 */
export class DefaultRegistry implements ForeignMetrics {
  names(): readonly string[] {
    return register.getMetricsAsArray().map((metric) => metric.name);
  }

  async read(name: string): Promise<ForeignMetric | undefined> {
    const metric = await (register.getSingleMetric(name) as unknown as PromMetric | undefined)?.get();
    if (!metric) return undefined;
    return {
      name: metric.name,
      help: metric.help,
      type: TYPES.has(metric.type) ? (metric.type as ForeignMetric['type']) : 'unknown',
      samples: metric.values.map(({ metricName = metric.name, labels, value }) => ({
        name: metricName,
        labels: labelText(Object.entries(labels ?? {})),
        value,
      })),
    };
  }
}

const TYPES = new Set(['counter', 'gauge', 'histogram', 'summary']);

/** What `get()` of every metric of prom-client 15 resolves with; its types call `type` an enum, but it is a string. */
interface PromMetric {
  get(): Promise<{
    readonly name: string;
    readonly help: string;
    readonly type: string;
    readonly values: readonly {
      readonly metricName?: string;
      readonly labels?: Readonly<Record<string, string | number>>;
      readonly value: number;
    }[];
  }>;
}
