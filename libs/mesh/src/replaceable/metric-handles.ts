import type { Counter, Gauge, Histogram, Labels, MetricFamily } from '../core/metrics.port.js';

/** A family of the client in force: another object after a replacement. */
export interface CurrentFamily<H> {
  readonly family: MetricFamily<string, H>;
}

/**
 * A handle that finds its series again when its family belongs to another client. That is one comparison an update; the
 * handle is known to nobody but its holder, so that as many may be bound as the holder likes.
 */
abstract class FollowingHandle<H> {
  readonly #owner: CurrentFamily<H>;
  readonly #labels: Labels<string>;
  #family: MetricFamily<string, H>;
  #series: H;

  constructor(owner: CurrentFamily<H>, labels: Labels<string>) {
    this.#owner = owner;
    this.#labels = labels;
    this.#family = owner.family;
    this.#series = owner.family.with(labels);
  }

  protected get series(): H {
    const { family } = this.#owner;
    if (family !== this.#family) {
      this.#series = family.with(this.#labels);
      this.#family = family;
    }
    return this.#series;
  }
}

export class FollowingCounter extends FollowingHandle<Counter> implements Counter {
  inc(by?: number): void {
    this.series.inc(by);
  }
}

export class FollowingHistogram extends FollowingHandle<Histogram> implements Histogram {
  observe(value: number): void {
    this.series.observe(value);
  }
}

/** A gauge that takes its value along: what is counted up and down can't be seen anew. */
export class FollowingGauge extends FollowingHandle<Gauge> implements Gauge {
  #value = 0;

  set(value: number): void {
    this.#value = value;
    this.series.set(value);
  }

  inc(by = 1): void {
    this.#value += by;
    this.series.inc(by);
  }

  dec(by = 1): void {
    this.#value -= by;
    this.series.dec(by);
  }

  /** Puts the value into the present series, which may be a new one. */
  carryOver(): void {
    this.series.set(this.#value);
  }
}
