import type { Clock } from '../core/clock.js';

/** The step between two stamps of one millisecond: exact in a double for any date before the year 2248. */
const STEP = 1 / 1_024;

/** A latest plausible lead of another machine's clock, in milliseconds; what is further ahead is not believed. */
const MAX_LEAD_MS = 60_000;

/**
 * Stamps that only grow and stay close to the wall clock, so that "began before that delete" has an answer within one
 * millisecond, across a clock that is set back, and across instances that have heard of each other.
 * @see Kulkarni et al., "Logical Physical Clocks" (2014)
 */
export class LogicalClock {
  #last = 0;

  constructor(private readonly clock: Clock) {}

  next(): number {
    const now = this.clock.now();
    this.#last = now > this.#last ? now : this.#last + STEP;
    return this.#last;
  }

  /** Takes note of another instance's stamp: everything stamped here from now on is later. */
  observe(stamp: number): void {
    if (stamp > this.#last && stamp < this.clock.now() + MAX_LEAD_MS) this.#last = stamp;
  }
}
