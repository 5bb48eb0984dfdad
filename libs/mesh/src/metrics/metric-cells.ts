import type { Counter, Gauge, Histogram } from '../core/metrics.port.js';

/** Is told of an update that would have spoilt the series (negative, not a number) and was left out. */
export type RejectUpdate = () => void;

/** A counter series: one number. */
export class CounterCell implements Counter {
  value = 0;
  readonly #reject: RejectUpdate;

  constructor(reject: RejectUpdate) {
    this.#reject = reject;
  }

  inc(by = 1): void {
    if (by >= 0) this.value += by;
    else this.#reject();
  }
}

/** A gauge series: one number. */
export class GaugeCell implements Gauge {
  value = 0;

  set(value: number): void {
    this.value = value;
  }

  inc(by = 1): void {
    this.value += by;
  }

  dec(by = 1): void {
    this.value -= by;
  }
}

/** A histogram series: one count a bucket, the last for what is above all bounds, and the sum. */
export class HistogramCell implements Histogram {
  sum = 0;
  readonly counts: number[];
  readonly #bounds: readonly number[];
  readonly #reject: RejectUpdate;

  constructor(bounds: readonly number[], reject: RejectUpdate) {
    this.#bounds = bounds;
    this.#reject = reject;
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    if (Number.isNaN(value)) return this.#reject();
    const bounds = this.#bounds;
    // Bounds are few and most values are small, so that looking from below is as fast as a binary search.
    let bucket = 0;
    while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
    this.counts[bucket]!++;
    this.sum += value;
  }
}
