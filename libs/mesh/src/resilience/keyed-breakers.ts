import { type BreakerHost, CircuitBreaker } from './circuit-breaker.js';
import type { KeyedBreakerSettings } from './policy-settings.js';

/**
 * The breakers of one policy: one without a key, and one for each host, tenant … that calls name. Keys come from
 * outside, so their number is capped and idle ones are forgotten; a breaker that an operator holds is kept.
 */
export class KeyedBreakers {
  #plain: CircuitBreaker | undefined;
  #keyed: Keyed | undefined;

  constructor(
    private readonly host: BreakerHost,
    private settings: KeyedBreakerSettings,
  ) {}

  get(key: string | undefined, now: number): CircuitBreaker {
    if (key === undefined) return (this.#plain ??= new CircuitBreaker(this.host, this.settings));
    const keyed = (this.#keyed ??= { entries: new Map(), latest: key });
    const { entries, latest } = keyed;
    let entry = entries.get(key);
    if (!entry) {
      this.#makeRoom(entries, now);
      entry = { breaker: new CircuitBreaker(this.host, this.settings, key), usedAt: now };
      entries.set(key, entry);
    } else if (key !== latest) {
      entries.delete(key);
      entries.set(key, entry);
    }
    entry.usedAt = now;
    keyed.latest = key;
    return entry.breaker;
  }

  /** The breaker, if calls have made it; looking does not count as use. */
  find(key: string | undefined): CircuitBreaker | undefined {
    return key === undefined ? this.#plain : this.#keyed?.entries.get(key)?.breaker;
  }

  *[Symbol.iterator](): IterableIterator<CircuitBreaker> {
    if (this.#plain) yield this.#plain;
    if (this.#keyed) for (const { breaker } of this.#keyed.entries.values()) yield breaker;
  }

  configure(settings: KeyedBreakerSettings): void {
    this.settings = settings;
    for (const breaker of this) breaker.configure(settings);
  }

  dispose(): void {
    for (const breaker of this) breaker.dispose();
  }

  #makeRoom(entries: Map<string, Entry>, now: number): void {
    const { maxKeys, keyIdleMs } = this.settings;
    for (const [key, { breaker, usedAt }] of entries) {
      if (entries.size < maxKeys && now - usedAt < keyIdleMs) return;
      if (breaker.held) continue;
      breaker.dispose();
      entries.delete(key);
    }
  }
}

interface Keyed {
  /** In order of last use: a used key moves to the end. */
  readonly entries: Map<string, Entry>;
  latest: string;
}

interface Entry {
  readonly breaker: CircuitBreaker;
  usedAt: number;
}
