/** An answer that a customer got, or that a connection gave instead. */
export interface Answered {
  /** Milliseconds since the beginning. */
  readonly atMs: number;
  readonly what: string;
}

export interface FaultEntry {
  readonly fault: string;
  readonly detail: string;
  readonly fromMs: number;
  toMs: number;
}

/** What happened when: the faults, and the answers under them. */
export class Timeline {
  readonly #beganAt = Date.now();
  readonly faults: FaultEntry[] = [];
  readonly answers: Answered[] = [];

  get nowMs(): number {
    return Date.now() - this.#beganAt;
  }

  answered(what: string): void {
    this.answers.push({ atMs: this.nowMs, what });
  }

  /** Runs `fault` and notes from when to when it lasted. */
  async during(fault: string, strike: () => Promise<string>): Promise<void> {
    const entry = { fault, detail: '', fromMs: this.nowMs, toMs: Infinity };
    this.faults.push(entry);
    entry.detail = await strike();
    entry.toMs = this.nowMs;
  }

  /** How often each answer was given between the two instants. */
  counts(fromMs = 0, toMs = Infinity): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { atMs, what } of this.answers)
      if (atMs >= fromMs && atMs < toMs) counts[what] = (counts[what] ?? 0) + 1;
    return counts;
  }
}
