import type { Clock } from '../core/clock.js';
import type { HealthWatch } from './config.participant.js';

/** What went down, as a {@link HealthWatch} told it. */
export interface Downfall {
  readonly culprit: string;
  readonly reason: string;
}

/** The time after a commit in which the service has to stay up. */
export class HealthWindow {
  /** What went down first, or nothing once the window is over. */
  readonly outcome: Promise<Downfall | undefined>;
  readonly #stops: (() => void)[] = [];
  #isOver = false;
  readonly #resolve: (downfall: Downfall | undefined) => void;

  /** Begins to watch now, so that nothing is missed. `closing` ends the window early, in the update's favour. */
  constructor(clock: Clock, watch: HealthWatch, windowMs: number, closing: AbortSignal) {
    const { promise, resolve } = Promise.withResolvers<Downfall | undefined>();
    this.outcome = promise;
    this.#resolve = resolve;
    const end = (): void => this.end();
    const timer = clock.setTimer(end, windowMs);
    this.#stops.push(() => timer.cancel());
    closing.addEventListener('abort', end);
    this.#stops.push(() => closing.removeEventListener('abort', end));
    const unwatch = watch((culprit, reason) => this.end({ culprit, reason }));
    // Something may be down already: then the window is over before the watch has given its answer.
    if (this.#isOver) unwatch();
    else this.#stops.push(unwatch);
  }

  end(downfall?: Downfall): void {
    this.#isOver = true;
    this.#resolve(downfall);
    for (const stop of this.#stops.splice(0)) stop();
  }
}
