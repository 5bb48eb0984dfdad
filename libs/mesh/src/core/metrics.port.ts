export interface MetricDefinition<L extends string = string> {
  /** Snake case with the unit as suffix: `mesh_calls_total`, `mesh_call_duration_seconds`. */
  readonly name: string;
  readonly help: string;
  /** Values must come from closed sets (policy, topic, outcome); never ids, URLs or messages. */
  readonly labels?: readonly L[];
}

export interface HistogramDefinition<L extends string = string> extends MetricDefinition<L> {
  /** Upper bounds in the metric's unit, ascending. @default OpenTelemetry's HTTP buckets, 5 ms to 10 s */
  readonly buckets?: readonly number[];
}

export type Labels<L extends string> = Readonly<Record<L, string>>;

/** One counter series, bound to its labels. Updating it is a plain addition. */
export interface Counter {
  inc(by?: number): void;
}

/** One gauge series, bound to its labels. */
export interface Gauge {
  set(value: number): void;
  inc(by?: number): void;
  dec(by?: number): void;
}

/** One histogram series, bound to its labels. */
export interface Histogram {
  observe(value: number): void;
}

/** A metric with labels: bind a series once, keep the handle, update it on the hot path. */
export interface MetricFamily<L extends string, H> {
  with(labels: Labels<L>): H;
}

export interface MetricsExposition {
  readonly contentType: string;
  readonly body: string;
}

/**
 * Where the mesh's numbers go. Defining the same metric twice returns the same family; defining it with another type or
 * other labels is a {@link MeshConfigError}.
 */
export abstract class MetricsClient {
  abstract counter<L extends string = never>(definition: MetricDefinition<L>): MetricFamily<L, Counter>;
  abstract gauge<L extends string = never>(definition: MetricDefinition<L>): MetricFamily<L, Gauge>;
  abstract histogram<L extends string = never>(definition: HistogramDefinition<L>): MetricFamily<L, Histogram>;
  /** Calls back just before each exposition: for values that are cheaper to read than to keep. Returns the unsubscribe function. */
  abstract onCollect(callback: () => void): () => void;
  /** Everything in the text format of Prometheus (or OpenMetrics, when `accept` asks for it). */
  abstract expose(accept?: string): Promise<MetricsExposition>;
}
