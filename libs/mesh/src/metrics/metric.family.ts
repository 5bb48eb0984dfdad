import { MeshConfigError } from '../core/mesh.errors.js';
import type { HistogramDefinition, Labels, MetricDefinition, MetricFamily } from '../core/metrics.port.js';
import { CounterCell, GaugeCell, HistogramCell } from './metric-cells.js';
import { LATENCY_BUCKETS, OVERFLOW_LABEL } from './metrics.constants.js';

export type MetricType = 'counter' | 'gauge' | 'histogram';
export type MetricCell = CounterCell | GaugeCell | HistogramCell;

/** What a family tells the client that owns it. */
export interface FamilyObserver {
  /** A label set was beyond the limit and went to the overflow series. */
  seriesDropped(metric: string): void;
  /** An update was negative or not a number and was left out. */
  updateRejected(metric: string): void;
}

export interface FamilyConfig<C extends MetricCell> {
  readonly type: MetricType;
  readonly definition: MetricDefinition | HistogramDefinition;
  readonly limit: () => number;
  readonly observer: FamilyObserver;
  readonly create: (family: AnyFamily) => C;
}

export type AnyFamily = CellFamily<MetricCell>;

/** A metric and its series. A series is kept under its label text, as it stands in the exposition. */
export class CellFamily<C extends MetricCell> implements MetricFamily<string, C> {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly labels: readonly string[];
  /** Upper bounds of a histogram; empty otherwise. */
  readonly buckets: readonly number[];
  readonly series = new Map<string, C>();
  readonly #config: FamilyConfig<C>;

  constructor(config: FamilyConfig<C>) {
    const { definition, type } = config;
    this.#config = config;
    this.name = definition.name;
    this.help = definition.help;
    this.type = type;
    this.labels = [...(definition.labels ?? [])];
    this.buckets = type === 'histogram' ? [...((definition as HistogramDefinition).buckets ?? LATENCY_BUCKETS)] : [];
    checkDefinition(this);
    // A metric without labels has its one series from the start: a counter that stands at 0 can be alerted on.
    if (this.labels.length === 0) this.#open('');
  }

  with(labels: Labels<string>): C {
    const text = this.#text(labels);
    return this.series.get(text) ?? this.#open(text);
  }

  readonly reject = (): void => this.#config.observer.updateRejected(this.name);

  #open(text: string): C {
    const { limit, observer, create } = this.#config;
    let key = text;
    if (this.series.size >= limit() && this.labels.length > 0) {
      observer.seriesDropped(this.name);
      key = this.labels.map((label) => `${label}="${OVERFLOW_LABEL}"`).join(',');
      const overflow = this.series.get(key);
      if (overflow) return overflow;
    }
    const cell = create(this as unknown as AnyFamily);
    this.series.set(key, cell);
    return cell;
  }

  #text(labels: Labels<string>): string {
    const given = Object.keys(labels);
    if (given.length !== this.labels.length || this.labels.some((label) => labels[label] === undefined))
      throw new MeshConfigError(
        `Metric "${this.name}" takes the labels ${list(this.labels)}, but was given ${list(given)}; give a value for exactly these.`,
        { metric: this.name, labels: this.labels, given },
      );
    return labelText(this.labels.map((label) => [label, labels[label]!]));
  }
}

/**
 * Labels as they stand between the braces of a sample. Joined, not concatenated: a series keeps this text, and a string
 * that was concatenated keeps all its pieces, four times its own size.
 */
export function labelText(labels: readonly (readonly [name: string, value: unknown])[]): string {
  const pieces: string[] = [];
  for (const [name, value] of labels)
    pieces.push(pieces.length === 0 ? '' : ',', name, '="', escapeLabel(String(value)), '"');
  return pieces.join('');
}

const NAME = /^[a-z_:][a-z0-9_:]*$/i;
const LABEL = /^[a-z_][a-z0-9_]*$/i;
const SPECIAL = /[\\\n"]/;

function escapeLabel(value: string): string {
  if (!SPECIAL.test(value)) return value;
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}

function checkDefinition({
  name,
  type,
  labels,
  buckets,
}: Pick<AnyFamily, 'name' | 'type' | 'labels' | 'buckets'>): void {
  const refuse = (problem: string): never => {
    throw new MeshConfigError(`Metric "${name}" can't be defined: ${problem}.`, { metric: name });
  };
  if (!NAME.test(name)) refuse('a name has letters, digits, "_" and ":" only and begins with no digit');
  if (type === 'counter' && !name.endsWith('_total')) refuse('the name of a counter ends in "_total"');
  if (type !== 'counter' && name.endsWith('_total')) refuse(`"_total" is for counters, and this is a ${type}`);
  for (const label of labels) {
    if (!LABEL.test(label) || label.startsWith('__')) refuse(`"${label}" is no valid name for a label`);
    if (type === 'histogram' && label === 'le') refuse('the label "le" of a histogram is taken by its buckets');
  }
  if (new Set(labels).size !== labels.length) refuse(`a label stands twice in ${list(labels)}`);
  if (type !== 'histogram') return;
  const ascending = buckets.every((bound, i) => Number.isFinite(bound) && (i === 0 || bound > buckets[i - 1]!));
  if (buckets.length === 0 || !ascending) refuse(`buckets are finite numbers in ascending order, not ${list(buckets)}`);
}

function list(values: readonly (string | number)[]): string {
  return values.length === 0 ? 'none' : values.join(', ');
}
