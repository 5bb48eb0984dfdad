import type { Timer, TimerOptions } from '../../core/clock.js';
import { VirtualClock } from '../virtual-clock.js';

/** A timer that waits. */
export interface WaitingTimer {
  readonly inMs: number;
  /** The line of code that set it. */
  readonly setBy: string;
}

interface Waiting {
  readonly at: number;
  readonly keepAlive: boolean;
  readonly trace: Error;
}

/** The virtual clock of a test application: it knows who set which timer, and can be let run. */
export class TestClock extends VirtualClock {
  readonly #waiting = new Map<object, Waiting>();
  #run: AbortController | undefined;

  override setTimer(callback: () => void, delayMs: number, { keepAlive = false }: TimerOptions = {}): Timer {
    const key = {};
    const timer = super.setTimer(() => {
      this.#waiting.delete(key);
      callback();
    }, delayMs);
    this.#waiting.set(key, { at: this.monotonic() + delayMs, keepAlive, trace: new Error('set here') });
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
    this.stop();
    this.#run = new AbortController();
    void this.#goOn(speed, this.#run.signal);
  }

  stop(): void {
    this.#run?.abort();
  }

  async #goOn(speed: number, stopped: AbortSignal): Promise<void> {
    while (!stopped.aborted) {
      await this.#wallMillisecond();
      await this.advance(speed, stopped);
    }
  }

  /** Keeps the process alive for those timers that would do so on the machine's clock. */
  #wallMillisecond(): Promise<void> {
    return new Promise((resolve) => {
      const handle = setTimeout(resolve, 1);
      if (![...this.#waiting.values()].some(({ keepAlive }) => keepAlive)) handle.unref();
    });
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
