import type { Clock, Timer } from '../../core/clock.js';

const MEASURE_MS = 5_000;

/**
 * Asks the server every few seconds how many messages wait: a subscription that is stuck gets none that would tell. Where the
 * question fails it is asked again; what is wrong shows elsewhere.
 */
export class LagLoop {
  readonly #clock: Clock;
  readonly #measure: () => Promise<unknown>;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(clock: Clock, measure: () => Promise<unknown>) {
    this.#clock = clock;
    this.#measure = measure;
  }

  start(): void {
    if (this.#stopped) return;
    const again = (): void => this.start();
    this.#timer = this.#clock.setTimer(() => void this.#measure().then(again, again), MEASURE_MS);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }
}
