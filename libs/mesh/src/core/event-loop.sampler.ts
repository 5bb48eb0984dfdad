import type { Clock, Timer } from './clock.js';

/** How often the delay is sampled: fine enough for its tail, and a wake-up that no profile shows. */
const INTERVAL_MS = 20;

type Listener = (delayMs: number) => void;

/**
 * Measures how late the event loop runs a timer: what everything else in it has cost just then. The only one that does,
 * for whoever wants to know; it rests while nobody listens.
 */
export class EventLoopSampler {
  readonly #clock: Clock;
  readonly #listeners = new Set<Listener>();
  #timer: Timer | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls back with each sample, about fifty a second. Returns the function that ends it. */
  onSample(listener: Listener): () => void {
    this.#listeners.add(listener);
    this.#timer ??= this.#sampleLater();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size > 0) return;
      this.#timer?.cancel();
      this.#timer = undefined;
    };
  }

  #sampleLater(): Timer {
    const dueAt = this.#clock.monotonic() + INTERVAL_MS;
    return this.#clock.setTimer(() => {
      const delayMs = Math.max(0, this.#clock.monotonic() - dueAt);
      this.#timer = this.#sampleLater();
      for (const listener of this.#listeners) listener(delayMs);
    }, INTERVAL_MS);
  }
}
