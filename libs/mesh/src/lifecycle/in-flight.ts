/** Counts work that runs, and tells when none does. */
export class InFlight {
  #count = 0;
  readonly #onNone = new Set<() => void>();

  get count(): number {
    return this.#count;
  }

  begin(): void {
    this.#count++;
  }

  end(): void {
    this.#count--;
    if (this.#count > 0) return;
    for (const resolve of this.#onNone) resolve();
    this.#onNone.clear();
  }

  /** Resolves when nothing runs any more, or rejects when the signal aborts. */
  async none(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#count === 0) return;
    await new Promise<void>((resolve, reject) => {
      this.#onNone.add(resolve);
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
  }
}
