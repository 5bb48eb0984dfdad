import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AnyFamily, MetricType } from './metric.family.js';
import { type CounterCell, type GaugeCell, HistogramCell } from './metric-cells.js';
import { LINES_PER_TURN } from './metrics.constants.js';

export type ExpositionFormat = 'prometheus' | 'openmetrics';

export const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/** A metric that was measured elsewhere, ready to be written. */
export interface ForeignMetric {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType | 'summary' | 'unknown';
  readonly samples: readonly { readonly name: string; readonly labels: string; readonly value: number }[];
}

/**
 * Writes metrics as text, letting the event loop turn every {@link LINES_PER_TURN} lines. Never inside a series, so that
 * the buckets, sum and count of a histogram always belong together.
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 * @see https://prometheus.io/docs/specs/om/open_metrics_spec/
 */
export class ExpositionWriter {
  readonly #format: ExpositionFormat;
  /** Text of the turns so far, flat: joining what was only concatenated would put off their work to one long moment. */
  readonly #turns: string[] = [];
  #lines: string[] = [];

  constructor(format: ExpositionFormat) {
    this.#format = format;
  }

  async family(family: AnyFamily): Promise<void> {
    if (family.series.size === 0) return;
    this.#head(family);
    const { name } = family;
    const bounds = family.buckets.map((bound) => `le="${bound}"} `);
    for (const [labels, cell] of family.series) {
      if (cell instanceof HistogramCell) this.#histogram(name, labels, bounds, cell);
      else this.#sample(name, labels, (cell as CounterCell | GaugeCell).value);
      if (this.#lines.length >= LINES_PER_TURN) await this.#turn();
    }
  }

  async foreign(metric: ForeignMetric): Promise<void> {
    if (metric.samples.length === 0) return;
    this.#head(metric);
    const suffix = this.#format === 'openmetrics' && metric.type === 'counter';
    for (const { name, labels, value } of metric.samples) {
      this.#sample(suffix && !name.endsWith('_total') ? `${name}_total` : name, labels, value);
      if (this.#lines.length >= LINES_PER_TURN) await this.#turn();
    }
  }

  /** The whole text. */
  end(): string {
    if (this.#format === 'openmetrics') this.#lines.push('# EOF\n');
    return [...this.#turns, ...this.#lines].join('');
  }

  #head({ name, help, type }: Pick<ForeignMetric, 'name' | 'help' | 'type'>): void {
    const open = this.#format === 'openmetrics';
    const family = open && type === 'counter' ? name.replace(/_total$/, '') : name;
    const escaped = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
    const text = open ? escaped.replaceAll('"', '\\"') : escaped;
    this.#lines.push(`# HELP ${family} ${text}\n# TYPE ${family} ${type === 'unknown' && !open ? 'untyped' : type}\n`);
  }

  #sample(name: string, labels: string, value: number): void {
    this.#lines.push(labels ? `${name}{${labels}} ${numberText(value)}\n` : `${name} ${numberText(value)}\n`);
  }

  #histogram(name: string, labels: string, bounds: readonly string[], cell: HistogramCell): void {
    const start = labels ? `${name}_bucket{${labels},` : `${name}_bucket{`;
    const { counts, sum } = cell;
    let count = 0;
    for (let i = 0; i < bounds.length; i++) {
      count += counts[i]!;
      this.#lines.push(`${start}${bounds[i]}${count}\n`);
    }
    count += counts[bounds.length]!;
    this.#lines.push(`${start}le="+Inf"} ${count}\n`);
    this.#sample(`${name}_sum`, labels, sum);
    this.#sample(`${name}_count`, labels, count);
  }

  async #turn(): Promise<void> {
    this.#turns.push(this.#lines.join(''));
    this.#lines = [];
    await nextTurn();
  }
}

/** The format that an `Accept` header asks for: OpenMetrics only when it is named and not ranked below plain text. */
export function negotiateFormat(accept = ''): ExpositionFormat {
  const rank = (type: string): number => {
    const range = accept.split(',').find((part) => part.trim().toLowerCase().startsWith(type));
    if (range === undefined) return 0;
    return Number(/;\s*q=([\d.]+)/i.exec(range)?.[1] ?? 1);
  };
  const open = rank('application/openmetrics-text');
  return open > 0 && open >= rank('text/plain') ? 'openmetrics' : 'prometheus';
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '+Inf' : '-Inf';
}
