/** What is to happen to things by their name, for ever or a number of times. */
export class Rules<R> {
  readonly #rules = new Map<string, { readonly rule: R; left: number }>();

  set(name: string, rule: R, times = Infinity): void {
    this.#rules.set(name, { rule, left: times });
  }

  /** The rule for this time, if there is one. */
  take(name: string): R | undefined {
    const entry = this.#rules.get(name);
    if (!entry || entry.left <= 0) return undefined;
    entry.left--;
    return entry.rule;
  }

  clear(name?: string): void {
    if (name === undefined) this.#rules.clear();
    else this.#rules.delete(name);
  }
}
