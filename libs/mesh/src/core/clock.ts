/** A pending timer. `cancel()` is idempotent and safe after the timer has fired. */
export interface Timer {
  cancel(): void;
}

export interface TimerOptions {
  /** Whether the timer alone keeps the process running. @default false */
  readonly keepAlive?: boolean;
}

/**
 * The only source of time in the library: everything that waits or measures takes a clock, so that tests never sleep.
 * Replace it with `VirtualClock` from `nestjs-mesh/testing`.
 */
export abstract class Clock {
  /** Epoch milliseconds. May jump when the machine's clock is set: for instants that are shown or sent, not for measuring. */
  abstract now(): number;

  /** Milliseconds from an arbitrary origin that never go back: for measuring and for windows. */
  abstract monotonic(): number;

  /** Calls back once after `delayMs`; the timer does not keep the process alive unless asked to. */
  abstract setTimer(callback: () => void, delayMs: number, options?: TimerOptions): Timer;

  /** Resolves after `delayMs`. Rejects with the signal's reason as soon as it aborts, leaving no timer behind. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        timer.cancel();
        reject(signal?.reason);
      };
      const timer = this.setTimer(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, delayMs);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}

/** The clock of the machine. Timers are unref'd unless `keepAlive` is set. */
export class SystemClock extends Clock {
  // The global is a getter, a fifth of the cost of the reading. Fake timers are seen if they are set up before the clock.
  readonly #performance = performance;

  override now(): number {
    return Date.now();
  }

  override monotonic(): number {
    return this.#performance.now();
  }

  override setTimer(callback: () => void, delayMs: number, options?: TimerOptions): Timer {
    const handle = setTimeout(callback, delayMs);
    if (!options?.keepAlive) handle.unref();
    return { cancel: () => clearTimeout(handle) };
  }
}
