/** What is to happen to things by their name, for ever or a number of times. */
export class Rules<R> {
  readonly #rules = new Map<string, { readonly rule: R; left: number }>();

  set(name: string, rule: R, times = Infinity): void {
    this.#rules.set(name, { rule, left: times });
  }

  /** Whether this is the rule for the next time. */
  has(name: string, rule: R): boolean {
    const entry = this.#rules.get(name);
    return entry !== undefined && entry.rule === rule && entry.left > 0;
  }

  /** As {@link has}; the time is used up then. */
  take(name: string, rule: R): boolean {
    if (!this.has(name, rule)) return false;
    this.#rules.get(name)!.left--;
    return true;
  }

  clear(name?: string): void {
    if (name === undefined) this.#rules.clear();
    else this.#rules.delete(name);
  }
}
