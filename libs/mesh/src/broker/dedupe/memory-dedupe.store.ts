import type { Clock } from '../../core/clock.js';
import type { Claim, DedupeStore } from './dedupe.store.js';

interface Entry {
  readonly done: boolean;
  /** Of the clock's `monotonic()`. */
  readonly until: number;
}

/** Remembers in this process: enough against redelivery to one instance, not between instances nor after a crash. */
export class MemoryDedupeStore implements DedupeStore {
  // In order of age, so that the first is the one to forget.
  readonly #entries = new Map<string, Entry>();
  readonly #clock: Clock;
  readonly #maxEntries: () => number;

  constructor(clock: Clock, maxEntries: () => number) {
    this.#clock = clock;
    this.#maxEntries = maxEntries;
  }

  claim(key: string, leaseMs: number): Claim {
    const known = this.#entries.get(key);
    if (known && known.until > this.#clock.monotonic()) return known.done ? 'done' : 'busy';
    this.#put(key, { done: false, until: this.#clock.monotonic() + leaseMs });
    return 'mine';
  }

  done(key: string, ttlMs: number): void {
    this.#put(key, { done: true, until: this.#clock.monotonic() + ttlMs });
  }

  release(key: string): void {
    this.#entries.delete(key);
  }

  stop(): void {
    this.#entries.clear();
  }

  #put(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    const limit = this.#maxEntries();
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= limit) return;
      this.#entries.delete(oldest);
    }
  }
}
