import type { KeyvStoreAdapter } from 'keyv';
import { refuseKeyv6 } from '../cache-manager.adapter.js';
import type { Refusals, SecondTierStore, StoredText } from './second-tier.store.js';

/** A store of Keyv 5 (an adapter, a `Keyv` around one, or a Map): what `cache.store` may be. */
export interface KeyvLike {
  get(key: string): unknown;
  set(key: string, value: unknown, ttlMs?: number): unknown;
  delete(key: string): unknown;
}

/** Any store of Keyv 5 as the second tier. Its values are strings; the cache brings its own codec. */
export class KeyvSecondTierStore implements SecondTierStore {
  readonly #adapter: KeyvLike & Partial<Pick<KeyvStoreAdapter, 'getMany' | 'disconnect' | 'on'>>;

  /** @throws {MeshConfigError} for a store of Keyv 6. */
  constructor(store: KeyvLike) {
    refuseKeyv6([store]);
    // Keyv itself swallows a failed read; what it stands on tells.
    this.#adapter = (store as { opts?: { store?: KeyvLike } }).opts?.store ?? store;
    // Its failures are seen where they are awaited; unheard they would end the process.
    this.#adapter.on?.('error', () => undefined);
  }

  open(onReady: () => void): void {
    onReady();
  }

  async read(keys: readonly string[]): Promise<readonly (string | undefined)[]> {
    const values: readonly unknown[] = this.#adapter.getMany
      ? await this.#adapter.getMany<string>([...keys])
      : await Promise.all(keys.map((key) => this.#adapter.get(key)));
    return values.map((value) => (typeof value === 'string' ? value : undefined));
  }

  async write(items: readonly StoredText[]): Promise<Refusals> {
    const refused = new Map<string, unknown>();
    const write = (item: StoredText): Promise<unknown> =>
      this.#writeOne(item).catch((error: unknown) => refused.set(item.key, error));
    await Promise.all(items.map(write));
    if (refused.size > 0 && refused.size === items.length) throw refused.values().next().value;
    return refused;
  }

  async #writeOne({ key, text, ttlMs }: StoredText): Promise<unknown> {
    return text === undefined ? this.#adapter.delete(key) : this.#adapter.set(key, text, Math.ceil(ttlMs));
  }

  async close(): Promise<void> {
    await this.#adapter.disconnect?.();
  }
}
