import { PROBE_KEYS } from './second-tier.js';
import type { Refusals, SecondTierStore, StoredText } from './second-tier.store.js';

/** A store that has been connected and asked before anybody uses it. `open` only says who is told of later connections. */
export class ConnectedStore implements SecondTierStore {
  #onReady: () => void = () => undefined;
  #onError: (error: unknown) => void = () => undefined;

  private constructor(private readonly store: SecondTierStore) {}

  /** Resolves when the store answers. When the signal aborts first, nothing of it is left. */
  static async connect(
    store: SecondTierStore,
    signal: AbortSignal,
    onError: (error: unknown) => void = () => undefined,
  ): Promise<ConnectedStore> {
    const connected = new ConnectedStore(store);
    connected.#onError = onError;
    try {
      await unlessAborted(connected.#answers(), signal);
      return connected;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  open(onReady: () => void, onError: (error: unknown) => void): void {
    this.#onReady = onReady;
    this.#onError = onError;
    onReady();
  }

  read(keys: readonly string[]): Promise<readonly (string | undefined)[]> {
    return this.store.read(keys);
  }

  write(items: readonly StoredText[]): Promise<Refusals> {
    return this.store.write(items);
  }

  reconnect(): void {
    this.store.reconnect?.();
  }

  close(): Promise<void> {
    return this.store.close();
  }

  async #answers(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#onReady = resolve;
      this.store.open(
        () => this.#onReady(),
        (error) => this.#onError(error),
      );
    });
    await this.store.read(PROBE_KEYS);
  }
}

function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
