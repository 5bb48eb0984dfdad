import type { DeadlineQueue, Expiring } from './deadline-queue.js';

/** A wait that ends early when the caller's signal aborts or the application goes down. */
export class Pause implements Expiring {
  heapIndex = -1;
  readonly waiting = true;
  readonly over: Promise<void>;
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  /** `expiresAt` is monotonic; `cancelled` makes the error for an aborted signal. */
  constructor(
    readonly expiresAt: number,
    private readonly queue: DeadlineQueue,
    private readonly signal: AbortSignal | undefined,
    private readonly cancelled: () => Error,
  ) {
    this.over = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (signal?.aborted) {
      this.#reject(cancelled());
      return;
    }
    signal?.addEventListener('abort', this);
    queue.add(this);
  }

  expire(): void {
    this.end();
  }

  handleEvent(): void {
    this.abandon(this.cancelled());
  }

  abandon(error: Error): void {
    this.#leave();
    this.#reject(error);
  }

  /** Nobody waits any longer. */
  end(): void {
    this.#leave();
    this.#resolve();
  }

  #leave(): void {
    this.queue.remove(this);
    this.signal?.removeEventListener('abort', this);
  }
}
