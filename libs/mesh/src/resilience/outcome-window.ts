import { WINDOW_BUCKETS } from './resilience.constants.js';

/** Counts the calls that a breaker looks back on. Instants are monotonic milliseconds. */
export interface OutcomeWindow {
  readonly calls: number;
  readonly failures: number;
  readonly slowCalls: number;
  add(now: number, failed: boolean, slow: boolean): void;
  /** Forgets what has become too old by `now`. */
  roll(now: number): void;
  clear(): void;
}

/**
 * The last `windowMs`, in ten buckets. It rotates when somebody looks, by the clock, so that an idle breaker costs
 * nothing; each counter's buckets are allocated when it first counts something.
 */
export class TimeWindow implements OutcomeWindow {
  calls = 0;
  failures = 0;
  slowCalls = 0;
  readonly #bucketMs: number;
  #calls: number[] | undefined;
  #failures: number[] | undefined;
  #slowCalls: number[] | undefined;
  /** Number of the current bucket since the clock's origin. */
  #epoch = 0;
  #endsAt = -1;

  constructor(windowMs: number) {
    this.#bucketMs = windowMs / WINDOW_BUCKETS;
  }

  add(now: number, failed: boolean, slow: boolean): void {
    if (now >= this.#endsAt) this.roll(now);
    const bucket = this.#epoch % WINDOW_BUCKETS;
    this.calls++;
    (this.#calls ??= emptyBuckets())[bucket]!++;
    if (failed) {
      this.failures++;
      (this.#failures ??= emptyBuckets())[bucket]!++;
    }
    if (slow) {
      this.slowCalls++;
      (this.#slowCalls ??= emptyBuckets())[bucket]!++;
    }
  }

  roll(now: number): void {
    if (now < this.#endsAt) return;
    const epoch = Math.floor(now / this.#bucketMs);
    const passed = Math.min(epoch - this.#epoch, WINDOW_BUCKETS);
    if (this.calls > 0) for (let back = 0; back < passed; back++) this.#forget((epoch - back) % WINDOW_BUCKETS);
    this.#epoch = epoch;
    this.#endsAt = (epoch + 1) * this.#bucketMs;
  }

  clear(): void {
    this.calls = this.failures = this.slowCalls = 0;
    this.#calls?.fill(0);
    this.#failures?.fill(0);
    this.#slowCalls?.fill(0);
  }

  #forget(bucket: number): void {
    this.calls -= take(this.#calls, bucket);
    this.failures -= take(this.#failures, bucket);
    this.slowCalls -= take(this.#slowCalls, bucket);
  }
}

const FAILED = 1;
const SLOW = 2;

/** The last `size` calls, however long ago. */
export class CountWindow implements OutcomeWindow {
  calls = 0;
  failures = 0;
  slowCalls = 0;
  #ring: Uint8Array | undefined;
  #next = 0;

  constructor(private readonly size: number) {}

  add(_now: number, failed: boolean, slow: boolean): void {
    const ring = (this.#ring ??= new Uint8Array(this.size));
    if (this.calls === this.size) {
      const oldest = ring[this.#next]!;
      if (oldest & FAILED) this.failures--;
      if (oldest & SLOW) this.slowCalls--;
    } else this.calls++;
    ring[this.#next] = (failed ? FAILED : 0) | (slow ? SLOW : 0);
    this.#next = (this.#next + 1) % this.size;
    if (failed) this.failures++;
    if (slow) this.slowCalls++;
  }

  roll(): void {}

  clear(): void {
    this.calls = this.failures = this.slowCalls = this.#next = 0;
  }
}

/**
 * Carries the totals of a window over into one of another shape, as if all of it had happened now. Failures are spread
 * evenly, so that a window for fewer calls keeps their share.
 */
export function reseed(window: OutcomeWindow, from: OutcomeWindow, now: number): OutcomeWindow {
  from.roll(now);
  const { calls, failures, slowCalls } = from;
  const isOneOf = (part: number, call: number): boolean =>
    Math.floor(((call + 1) * part) / calls) > Math.floor((call * part) / calls);
  for (let call = 0; call < calls; call++) window.add(now, isOneOf(failures, call), isOneOf(slowCalls, call));
  return window;
}

function emptyBuckets(): number[] {
  return [0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
}

function take(buckets: number[] | undefined, bucket: number): number {
  if (!buckets) return 0;
  const count = buckets[bucket]!;
  buckets[bucket] = 0;
  return count;
}
