import { AsyncLocalStorage } from 'node:async_hooks';
import type { Clock, Timer } from '../core/clock.js';
import { MAX_DURATION_MS } from './resilience.constants.js';

/** Something alive that ends by itself at `expiresAt` (monotonic), or earlier when it is abandoned. */
export interface Expiring {
  expiresAt: number;
  /** Its place in the queue; -1 when it is not in one. Kept by the queue. */
  heapIndex: number;
  /** Whether it only waits: for a slot, or for the next attempt. */
  readonly waiting: boolean;
  /** Must not throw. */
  expire(now: number): void;
  /** The application goes down: end now with this error. Must not throw. */
  abandon(error: Error): void;
}

/**
 * All limits of all running calls on one timer: a binary heap, so that a call costs two array writes instead of a
 * `setTimeout`. What never expires is in it as well, which makes it the register of everything that is alive.
 */
export class DeadlineQueue {
  readonly #heap: Expiring[] = [];
  readonly #clock: Clock;
  // A timer armed inside a request would keep that request's async context alive and run in it.
  readonly #outside = AsyncLocalStorage.snapshot();
  #timer: Timer | undefined;
  #armedFor = Infinity;
  #emptied: PromiseWithResolvers<void> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#heap.length;
  }

  add(item: Expiring): void {
    this.#heap.push(item);
    this.#siftUp(item, this.#heap.length - 1);
    if (item.expiresAt < this.#armedFor) this.#arm(item.expiresAt);
  }

  remove(item: Expiring): void {
    const index = item.heapIndex;
    if (index < 0) return;
    item.heapIndex = -1;
    const last = this.#heap.pop()!;
    if (last !== item) {
      if (index > 0 && last.expiresAt < this.#heap[(index - 1) >> 1]!.expiresAt) this.#siftUp(last, index);
      else this.#siftDown(last, index);
    }
    if (this.#heap.length === 0 && this.#emptied) this.#tellEmpty(this.#emptied);
  }

  /** Resolves once nothing is alive. */
  empty(): Promise<void> {
    if (this.#heap.length === 0) return Promise.resolve();
    return (this.#emptied ??= Promise.withResolvers<void>()).promise;
  }

  /** Ends what only waits. */
  abandonWaiting(error: Error): void {
    for (const item of this.#heap.filter(({ waiting }) => waiting)) item.abandon(error);
  }

  /** Ends everything that is alive, and the timer. */
  abandonAll(error: Error): void {
    for (const item of this.#heap.slice()) item.abandon(error);
    this.stopTimer();
  }

  stopTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#armedFor = Infinity;
  }

  #tellEmpty({ resolve }: PromiseWithResolvers<void>): void {
    this.#emptied = undefined;
    resolve();
  }

  #arm(at: number): void {
    this.#timer?.cancel();
    this.#armedFor = at;
    // A longer timer would overflow and fire at once; this one looks again and goes on.
    const delayMs = Math.min(MAX_DURATION_MS, Math.max(0, Math.ceil(at - this.#clock.monotonic())));
    this.#timer = this.#outside(() => this.#clock.setTimer(() => this.#onTimer(), delayMs));
  }

  #onTimer(): void {
    this.#timer = undefined;
    this.#armedFor = Infinity;
    const now = this.#clock.monotonic();
    for (let first = this.#heap[0]; first && first.expiresAt <= now; first = this.#heap[0]) {
      this.remove(first);
      first.expire(now);
    }
    const next = this.#heap[0];
    if (next && next.expiresAt < this.#armedFor) this.#arm(next.expiresAt);
  }

  #siftUp(item: Expiring, from: number): void {
    const heap = this.#heap;
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = heap[parentIndex]!;
      if (parent.expiresAt <= item.expiresAt) break;
      heap[index] = parent;
      parent.heapIndex = index;
      index = parentIndex;
    }
    heap[index] = item;
    item.heapIndex = index;
  }

  #siftDown(item: Expiring, from: number): void {
    const heap = this.#heap;
    const half = heap.length >> 1;
    let index = from;
    while (index < half) {
      let childIndex = 2 * index + 1;
      if (childIndex + 1 < heap.length && heap[childIndex + 1]!.expiresAt < heap[childIndex]!.expiresAt) childIndex++;
      const child = heap[childIndex]!;
      if (child.expiresAt >= item.expiresAt) break;
      heap[index] = child;
      child.heapIndex = index;
      index = childIndex;
    }
    heap[index] = item;
    item.heapIndex = index;
  }
}
