interface Flush {
  /** What the server did not take of it, by subject. */
  readonly refused: Map<string, Error>;
  readonly answered: Promise<void>;
}

/** Asks the server whether it has what was written. One question serves all who ask in the same turn. */
export class Flushes {
  readonly #flush: () => Promise<void>;
  readonly #underway = new Set<Flush>();
  #next: Flush | undefined;

  constructor(flush: () => Promise<void>) {
    this.#flush = flush;
  }

  /**
   * Resolves when the server has everything written so far.
   * @throws what it said to a message on `subject` that it did not take.
   */
  async took(subject: string): Promise<void> {
    const { refused, answered } = (this.#next ??= this.#begin());
    await answered;
    const refusal = refused.get(subject);
    if (refusal) throw refusal;
  }

  /** The server did not take a message: it says so before it answers the question. */
  onRefused(subject: string, error: Error): void {
    for (const { refused } of this.#underway) refused.set(subject, error);
  }

  #begin(): Flush {
    const flush: Flush = { refused: new Map(), answered: this.#ask().finally(() => this.#underway.delete(flush)) };
    this.#underway.add(flush);
    return flush;
  }

  async #ask(): Promise<void> {
    await Promise.resolve();
    this.#next = undefined;
    await this.#flush();
    // The client tells a refusal some turns after it has read it.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
