/** A value to write, with how long the store is to keep it. Without a text the key is removed. */
export interface StoredText {
  readonly key: string;
  readonly text: string | undefined;
  readonly ttlMs: number;
}

/** What a store said to the keys that it did not write. */
export type Refusals = ReadonlyMap<string, unknown>;

/**
 * A store behind the first tier. It may fail, hang and come back; nothing of that reaches a caller of the cache, because
 * everything goes through {@link SecondTier}.
 */
export interface SecondTierStore {
  /**
   * Begins to connect and returns. `onReady` is called each time that it is connected, the first time included;
   * `onError` with what keeps it from that.
   */
  open(onReady: () => void, onError: (error: unknown) => void): void;
  /** What each key holds, in the order of the keys. Rejects when the store can't say. */
  read(keys: readonly string[]): Promise<readonly (string | undefined)[]>;
  /**
   * Writes in the order of the items. Resolves with the keys that it refused, and why; rejects when none was written.
   */
  write(items: readonly StoredText[]): Promise<Refusals>;
  /** The connection has not answered for too long: begins anew with another one, where there are connections. */
  reconnect?(): void;
  /** Lets go of the connection at once. The store is never used afterwards. */
  close(): Promise<void>;
}
