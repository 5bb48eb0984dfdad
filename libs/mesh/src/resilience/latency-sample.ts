const SIZE = 100;
const ENOUGH = 20;
const RECOMPUTE_AFTER = 20;

/** The durations of the last hundred calls, for a 95th percentile that is good enough to time a hedge. */
export class LatencySample {
  readonly #durations: number[] = [];
  #next = 0;
  #sinceComputed = 0;
  #p95: number | undefined;

  add(durationMs: number): void {
    this.#durations[this.#next] = durationMs;
    this.#next = (this.#next + 1) % SIZE;
    this.#sinceComputed++;
  }

  /** `undefined` until there are twenty calls to judge by. */
  get p95(): number | undefined {
    const { length } = this.#durations;
    if (length < ENOUGH) return undefined;
    if (this.#p95 === undefined || this.#sinceComputed >= RECOMPUTE_AFTER) {
      const sorted = [...this.#durations].sort((a, b) => a - b);
      this.#p95 = sorted[Math.ceil(0.95 * length) - 1];
      this.#sinceComputed = 0;
    }
    return this.#p95;
  }
}
