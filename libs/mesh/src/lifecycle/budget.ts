import type { Clock } from '../core/clock.js';

/** A span of time that several steps share. Measured on the monotonic clock, so that setting the machine's clock changes nothing. */
export class Budget {
  readonly #clock: Clock;
  readonly #endsAt: number;
  readonly startedAt: number;

  constructor(
    clock: Clock,
    readonly totalMs: number,
  ) {
    this.#clock = clock;
    this.startedAt = clock.monotonic();
    this.#endsAt = this.startedAt + totalMs;
  }

  get elapsedMs(): number {
    return this.#clock.monotonic() - this.startedAt;
  }

  get remainingMs(): number {
    return Math.max(0, this.#endsAt - this.#clock.monotonic());
  }

  /** `wantedMs`, or what is left if that is less. */
  clip(wantedMs: number): number {
    return Math.min(wantedMs, this.remainingMs);
  }
}
