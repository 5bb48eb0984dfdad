import type { Clock, Timer } from '../core/clock.js';

/** What {@link Load.waitFor} answers when the time is over first. */
export const STILL_LOADING = Symbol('nestjs-mesh.still-loading');

/** `settled`: the factory answered or failed; `timeout`: it took too long; `abandoned`: nobody waited any more. */
export type LoadEnding = 'settled' | 'timeout' | 'abandoned';

export interface LoadLimits {
  readonly limitMs: number;
  timeoutError(): Error;
  /** Called once, when the load is over for its callers. */
  onEnd(load: Load, ending: LoadEnding): void;
}

/**
 * One run of a factory and everybody who waits for it. It ends with the factory, at its time limit, or when the last
 * caller has left; then its key is free for a new load, even if the factory never comes back.
 */
export class Load {
  /** The key was written or deleted after this load began: its value goes to those who wait and nowhere else. */
  obsolete = false;
  /** Where the value came from. */
  source: 'factory' | 'second' = 'factory';
  /** Once it is over: when the newest deletion of one of its value's tags happened, as a stamp. */
  deletedAt = 0;
  readonly #outcome = Promise.withResolvers<unknown>();
  readonly #controller = new AbortController();
  readonly #timer: Timer;
  #waiting = 0;
  #detached = false;
  #ended = false;

  constructor(
    /** Logical stamp of the moment it began: what was deleted later is not stored. */
    readonly bornAt: number,
    private readonly clock: Clock,
    private readonly limits: LoadLimits,
  ) {
    this.#outcome.promise.catch(() => undefined);
    this.#timer = clock.setTimer(() => this.#giveUp(limits.timeoutError(), 'timeout'), limits.limitMs);
  }

  /** Whether it is over for its callers, even if the factory still runs. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Starts the work; an error thrown at once is a failed load like any other. */
  begin(work: (signal: AbortSignal) => Promise<unknown>): void {
    void work(this.#controller.signal).then(
      (value) => this.#end('settled', () => this.#outcome.resolve(value)),
      (error: unknown) => this.#end('settled', () => this.#outcome.reject(error)),
    );
  }

  /** From now on the load goes on even if nobody waits: its callers have a stale value. */
  detach(): void {
    this.#detached = true;
  }

  /** The outcome, however long it takes up to the load's own limit. */
  wait(): Promise<unknown> {
    this.#waiting++;
    return this.#outcome.promise;
  }

  /** The outcome, or {@link STILL_LOADING} after `limitMs`; rejects with the signal's reason if that aborts first. */
  async waitFor(limitMs: number, signal?: AbortSignal): Promise<unknown> {
    this.#waiting++;
    const left = Promise.withResolvers<typeof STILL_LOADING>();
    const onAbort = (): void => left.reject(signal?.reason);
    const timer =
      limitMs === Infinity ? undefined : this.clock.setTimer(() => left.resolve(STILL_LOADING), Math.max(0, limitMs));
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([this.#outcome.promise, left.promise]);
    } finally {
      timer?.cancel();
      signal?.removeEventListener('abort', onAbort);
      this.#leave();
    }
  }

  /** Ends a load that only renews a value: nobody waits for it. */
  stopIfUnattended(): void {
    if (this.#waiting === 0) this.#abandon();
  }

  #leave(): void {
    this.#waiting--;
    if (this.#waiting === 0 && !this.#detached) this.#abandon();
  }

  #abandon(): void {
    this.#giveUp(new DOMException('Nobody waits for this load any more.', 'AbortError'), 'abandoned');
  }

  #giveUp(reason: Error, ending: LoadEnding): void {
    this.#end(ending, () => {
      this.#outcome.reject(reason);
      this.#controller.abort(reason);
    });
  }

  #end(ending: LoadEnding, settle: () => void): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer.cancel();
    this.limits.onEnd(this, ending);
    settle();
  }
}
