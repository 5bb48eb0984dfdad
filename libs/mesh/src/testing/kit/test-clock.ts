import type { Timer } from '../../core/clock.js';
import { VirtualClock } from '../virtual-clock.js';

/** A timer that waits. */
export interface WaitingTimer {
  readonly inMs: number;
  /** The line of code that set it. */
  readonly setBy: string;
}

/** How fast time goes while the clock runs by itself: one millisecond of the machine's is so many of its own. */
const RUNNING_SPEED = 20;

/** The virtual clock of a test application: it knows who set which timer, and can be let run. */
export class TestClock extends VirtualClock {
  readonly #waiting = new Map<object, { readonly at: number; readonly trace: Error }>();
  #running = false;

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

  /** Lets time pass by itself, faster than on the wall, until {@link stop}. */
  run(): void {
    if (this.#running) return;
    this.#running = true;
    void this.#run();
  }

  stop(): void {
    this.#running = false;
  }

  async #run(): Promise<void> {
    while (this.#running) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await this.advance(RUNNING_SPEED);
    }
  }
}

/** The first frame outside of this clock. */
function callerIn({ stack = '' }: Error): string {
  const frame = stack
    .split('\n')
    .slice(1)
    .find((line) => !/\b(test-clock|clock)\.[jt]s\b/.test(line));
  return frame?.trim().replace(/^at /, '') ?? 'unknown';
}
