import { Fifo } from './fifo.js';

/**
 * A first-in first-out queue in which messages of one key go one at a time: the next one shows itself when the one ahead is
 * {@link release}d. Those without a key, and those of other keys, pass by.
 */
export class KeyedQueue<T> {
  readonly #keyOf: (item: T) => string | undefined;
  readonly #ready = new Fifo<T>();
  /** By the keys that are ready or being worked on: what comes after. */
  readonly #behind = new Map<string, Fifo<T>>();
  #waiting = 0;

  constructor(keyOf: (item: T) => string | undefined) {
    this.#keyOf = keyOf;
  }

  get length(): number {
    return this.#ready.length + this.#waiting;
  }

  push(item: T): void {
    const key = this.#keyOf(item);
    const behind = key === undefined ? undefined : this.#behind.get(key);
    if (behind) {
      behind.push(item);
      this.#waiting++;
      return;
    }
    if (key !== undefined) this.#behind.set(key, new Fifo());
    this.#ready.push(item);
  }

  /** The next one whose turn it is; its key is taken until it is released. */
  shift(): T | undefined {
    return this.#ready.shift();
  }

  /** What was shifted is done: the next one of its key may go. */
  release(item: T): void {
    const key = this.#keyOf(item);
    if (key === undefined) return;
    const next = this.#behind.get(key)?.shift();
    if (next === undefined) {
      this.#behind.delete(key);
      return;
    }
    this.#waiting--;
    this.#ready.push(next);
  }

  /** Takes out everything, in the order in which it would have gone within each key. What was shifted keeps its key. */
  takeAll(): T[] {
    const all = [...this];
    for (const item of this.#ready) this.#free(item);
    this.#ready.clear();
    for (const behind of this.#behind.values()) behind.clear();
    this.#waiting = 0;
    return all;
  }

  *[Symbol.iterator](): Generator<T> {
    yield* this.#ready;
    for (const behind of this.#behind.values()) yield* behind;
  }

  #free(item: T): void {
    const key = this.#keyOf(item);
    if (key !== undefined) this.#behind.delete(key);
  }
}
