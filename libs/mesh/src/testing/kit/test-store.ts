import type { Clock } from '../../core/clock.js';

export type Outage = 'fails' | 'hangs';

interface Stored {
  readonly text: unknown;
  readonly until: number;
}

/** Stands in for the cache's second tier: a store in memory, as Keyv has them, that can be taken away. */
export class TestStore {
  readonly #entries = new Map<string, Stored>();
  #outage: Outage | undefined;

  constructor(private readonly clock: Clock) {}

  async get(key: string): Promise<unknown> {
    await this.#reachable();
    const stored = this.#entries.get(key);
    return stored && stored.until > this.clock.now() ? stored.text : undefined;
  }

  async set(key: string, text: unknown, ttlMs = Infinity): Promise<boolean> {
    await this.#reachable();
    this.#entries.set(key, { text, until: this.clock.now() + ttlMs });
    return true;
  }

  async delete(key: string): Promise<boolean> {
    await this.#reachable();
    return this.#entries.delete(key);
  }

  takeAway(outage: Outage): void {
    this.#outage = outage;
  }

  bringBack(): void {
    this.#outage = undefined;
  }

  clear(): void {
    this.#entries.clear();
  }

  #reachable(): Promise<void> | void {
    if (this.#outage === 'fails') throw new Error('the test has taken the second tier away');
    if (this.#outage === 'hangs') return new Promise(() => undefined);
  }
}
