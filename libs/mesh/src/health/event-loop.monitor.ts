import type { Clock, Timer } from '../core/clock.js';

const BEAT_MS = 1_000;

/** Measures how late a timer of one second fires: what the event loop's worst block of that second has cost. */
export class EventLoopMonitor {
  #timer: Timer | undefined;
  #lagMs = 0;

  constructor(
    private readonly clock: Clock,
    private readonly onBeat: (lagMs: number) => void,
  ) {}

  get lagMs(): number {
    return this.#lagMs;
  }

  start(): void {
    const dueAt = this.clock.monotonic() + BEAT_MS;
    this.#timer = this.clock.setTimer(() => {
      this.#lagMs = Math.max(0, this.clock.monotonic() - dueAt);
      this.onBeat(this.#lagMs);
      this.start();
    }, BEAT_MS);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#lagMs = 0;
  }
}
