import type { Labels, MetricsClient } from '../../index.js';
import { failExpectation, shown } from './failed-expectation.js';

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** The application's metrics, as a scrape sees them. Counters count from the last `reset` of the kit. */
export class TestedMetrics {
  #before: ReadonlyMap<string, number> = new Map();

  constructor(private readonly metrics: MetricsClient) {}

  /**
   * The sum of all series of the metric that have these labels; 0 when none has. Of a histogram ask for `…_count` or `…_sum`.
   * @throws when there is no such metric.
   */
  async value(name: string, labels: Labels<string> = {}): Promise<number> {
    const { body } = await this.metrics.expose();
    if (typeOf(name, body) === undefined)
      failExpectation(`There is no metric "${name}"; metrics with such a name are${namesLike(name, body)}`);
    return this.#sum(name, labels, body);
  }

  /** As {@link value}, and 0 for a metric that nobody has defined: a part that was never used. */
  async valueIfAny(name: string, labels: Labels<string> = {}): Promise<number> {
    return this.#sum(name, labels, (await this.metrics.expose()).body);
  }

  /** @throws when {@link value} is another. */
  async expectValue(name: string, labels: Labels<string>, expected: number): Promise<void> {
    const actual = await this.value(name, labels);
    if (actual !== expected)
      failExpectation(`Metric ${name} ${shown(labels)} was expected to be ${expected} and is ${actual}`, {
        actual,
        expected,
      });
  }

  async reset(): Promise<void> {
    const { body } = await this.metrics.expose();
    this.#before = new Map(samplesOf(body).map((sample) => [keyOf(sample), sample.value]));
  }

  #sum(name: string, labels: Labels<string>, body: string): number {
    const wanted = Object.entries(labels);
    const counts = typeOf(name, body) !== 'gauge';
    return samplesOf(body)
      .filter((sample) => sample.name === name && wanted.every(([label, value]) => sample.labels[label] === value))
      .reduce((sum, sample) => sum + sample.value - (counts ? (this.#before.get(keyOf(sample)) ?? 0) : 0), 0);
  }
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/gm;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** @see https://prometheus.io/docs/instrumenting/exposition_formats/ */
function samplesOf(body: string): Sample[] {
  return [...body.matchAll(SAMPLE)].map(([, name, labels = '', value]) => ({
    name: name!,
    labels: Object.fromEntries(
      [...labels.matchAll(LABEL)].map(([, label, text]) => [
        label!,
        text!.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c)),
      ]),
    ),
    value: Number(value),
  }));
}

/** `counter`, `gauge`, `histogram`; of a histogram's `…_count` that of the histogram. */
function typeOf(name: string, body: string): string | undefined {
  const family = name.replace(/_(?:count|sum|bucket)$/, '');
  return new RegExp(`^# TYPE (?:${name}|${family}) (\\w+)`, 'm').exec(body)?.[1];
}

function keyOf({ name, labels }: Sample): string {
  return name + JSON.stringify(labels);
}

/** Long enough to tell kinds of metrics apart, short enough for most slips of the pen. */
const STEM_LENGTH = 8;

function namesLike(name: string, body: string): string {
  const stem = name.slice(0, STEM_LENGTH);
  const names = [...body.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]!).filter((each) => each.startsWith(stem));
  return names.length === 0 ? ' none' : ` ${names.join(', ')}`;
}
