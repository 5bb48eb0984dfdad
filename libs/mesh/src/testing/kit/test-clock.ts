import type { Timer } from '../../core/clock.js';
import { VirtualClock } from '../virtual-clock.js';

/** A timer that waits. */
export interface WaitingTimer {
  readonly inMs: number;
  /** The line of code that set it. */
  readonly setBy: string;
}

/** The virtual clock of a test application: it knows who set which timer, and can be let run. */
export class TestClock extends VirtualClock {
  readonly #waiting = new Map<object, { readonly at: number; readonly trace: Error }>();
  #run: { readonly speed: number } | undefined;

  override setTimer(callback: () => void, delayMs: number): Timer {
    const key = {};
    const timer = super.setTimer(() => {
      this.#waiting.delete(key);
      callback();
    }, delayMs);
    this.#waiting.set(key, { at: this.monotonic() + delayMs, trace: new Error('set here') });
    return {
      cancel: () => {
        this.#waiting.delete(key);
        timer.cancel();
      },
    };
  }

  /** The timers that wait, the next one first. */
  get timers(): readonly WaitingTimer[] {
    return [...this.#waiting.values()]
      .map(({ at, trace }) => ({ inMs: at - this.monotonic(), setBy: callerIn(trace) }))
      .sort((a, b) => a.inMs - b.inMs);
  }

  /**
   * Lets time pass by itself until {@link stop}: for tests in which something real takes its time as well, a server or a
   * socket. At `speed` 1 it is never faster than the clock on the wall.
   */
  run(speed = 1): void {
    const run = { speed };
    this.#run = run;
    void this.#goOn(run);
  }

  stop(): void {
    this.#run = undefined;
  }

  /** Until it is stopped, or another run has begun. */
  async #goOn(run: { readonly speed: number }): Promise<void> {
    while (this.#run === run) {
      await new Promise((resolve) => setTimeout(resolve, 1).unref());
      await this.advance(run.speed);
    }
  }
}

/** The first frame outside of this clock. */
function callerIn({ stack = '' }: Error): string {
  const frame = stack
    .split('\n')
    .slice(1)
    .find((line) => !/[\\/](?:test-clock|clock)\.[jt]s\b/.test(line));
  return frame?.trim().replace(/^at /, '') ?? 'unknown';
}
