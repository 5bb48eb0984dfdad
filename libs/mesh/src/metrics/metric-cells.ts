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

const UINT32 = 2 ** 32;
const MAX_CHUNK = 64;

/** The numbers of a few series. */
interface Chunk {
  /** One count a bucket, series after series. */
  readonly counts: Uint32Array;
  readonly sums: Float64Array;
  /** How often a count has run over, by its place. */
  overruns: Map<number, number> | undefined;
}

/**
 * The histograms of one family, with their numbers side by side: an array of its own for each of thousands of series
 * would be twice the size of its numbers.
 */
export class HistogramPool {
  /** Buckets of a series: one a bound, and one for what is above all of them. */
  readonly stride: number;
  #chunk: Chunk = newChunk(0, 0);
  #used = 0;

  constructor(
    readonly bounds: readonly number[],
    readonly reject: RejectUpdate,
  ) {
    this.stride = bounds.length + 1;
  }

  /** One more series. */
  open(): HistogramCell {
    const size = this.#chunk.sums.length;
    if (this.#used === size) {
      this.#chunk = newChunk(Math.min(MAX_CHUNK, Math.max(1, 2 * size)), this.stride);
      this.#used = 0;
    }
    return new HistogramCell(this, this.#chunk, this.#used++);
  }
}

/** A histogram series: one count a bucket, the last for what is above all bounds, and the sum. */
export class HistogramCell implements Histogram {
  readonly #pool: HistogramPool;
  readonly #chunk: Chunk;
  readonly #index: number;

  constructor(pool: HistogramPool, chunk: Chunk, index: number) {
    this.#pool = pool;
    this.#chunk = chunk;
    this.#index = index;
  }

  get sum(): number {
    return this.#chunk.sums[this.#index]!;
  }

  /** The counts as they are now. */
  get counts(): number[] {
    const { stride } = this.#pool;
    const { counts, overruns } = this.#chunk;
    const first = this.#index * stride;
    return Array.from(
      counts.subarray(first, first + stride),
      (count, bucket) => count + (overruns?.get(first + bucket) ?? 0) * UINT32,
    );
  }

  observe(value: number): void {
    if (Number.isNaN(value)) return this.#pool.reject();
    const { bounds, stride } = this.#pool;
    // Bounds are few and most values are small, so that looking from below is as fast as a binary search.
    let bucket = 0;
    while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
    const place = this.#index * stride + bucket;
    const { counts, sums } = this.#chunk;
    counts[place]!++;
    if (counts[place] === 0) this.#overrun(place);
    sums[this.#index]! += value;
  }

  #overrun(place: number): void {
    const overruns = (this.#chunk.overruns ??= new Map());
    overruns.set(place, (overruns.get(place) ?? 0) + 1);
  }
}

function newChunk(size: number, stride: number): Chunk {
  return { counts: new Uint32Array(size * stride), sums: new Float64Array(size), overruns: undefined };
}
