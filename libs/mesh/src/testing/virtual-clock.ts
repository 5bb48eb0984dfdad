import { AsyncLocalStorage } from 'node:async_hooks';
import { Clock, type Timer } from '../core/clock.js';

interface Pending {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock that moves only when it is told to. */
export class VirtualClock extends Clock {
  #elapsedMs = 0;
  #epoch: number;
  #order = 0;
  readonly #pending = new Set<Pending>();

  constructor(epochMs = Date.UTC(2026, 0, 1)) {
    super();
    this.#epoch = epochMs;
  }

  override now(): number {
    return this.#epoch + this.#elapsedMs;
  }

  override monotonic(): number {
    return this.#elapsedMs;
  }

  override setTimer(callback: () => void, delayMs: number): Timer {
    const pending: Pending = {
      at: this.#elapsedMs + Math.max(0, delayMs),
      order: this.#order++,
      // As with the machine's timers: in the async context of who set it.
      callback: AsyncLocalStorage.bind(callback),
    };
    this.#pending.add(pending);
    return { cancel: () => void this.#pending.delete(pending) };
  }

  /**
   * Moves time forward, firing each timer that falls due at its own moment and letting promises settle in between. Stays
   * where it is once the signal aborts.
   */
  async advance(ms: number, signal?: AbortSignal): Promise<void> {
    const until = this.#elapsedMs + ms;
    await settle();
    for (let next = this.#next(until); next && !signal?.aborted; next = this.#next(until)) {
      this.#pending.delete(next);
      this.#elapsedMs = Math.max(this.#elapsedMs, next.at);
      next.callback();
      await settle();
    }
    // Another advance may have gone further meanwhile.
    if (!signal?.aborted) this.#elapsedMs = Math.max(this.#elapsedMs, until);
  }

  /** Sets the machine's clock without letting any time pass, as NTP or an operator would. */
  jump(ms: number): void {
    this.#epoch += ms;
  }

  /** How many timers wait: zero after everything was stopped. */
  get pendingTimers(): number {
    return this.#pending.size;
  }

  #next(until: number): Pending | undefined {
    let first: Pending | undefined;
    for (const pending of this.#pending) {
      if (pending.at > until) continue;
      if (!first || pending.at < first.at || (pending.at === first.at && pending.order < first.order)) first = pending;
    }
    return first;
  }
}

/** One turn of the event loop: every promise that can settle without time passing has settled. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
