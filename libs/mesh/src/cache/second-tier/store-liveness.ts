import type { Clock } from '../../core/clock.js';

/** An operation that got no answer in its time. */
export class SecondTierTimeout extends Error {
  constructor(limitMs: number) {
    super(`no answer within ${limitMs} ms`);
  }
}

/** How many failures in a row say that the store is away: as many as its breaker asks for. */
const FAILURES_IN_A_ROW = 5;

/** Whether the store is there, by what became of the operations on it. */
export class StoreLiveness {
  #answeredAt = 0;
  #failuresInARow = 0;
  /** When the first of them came to light. */
  #failingSince = 0;
  /** Since when nothing was answered; an error is an answer, too. */
  #silentSince: number | undefined;

  constructor(private readonly clock: Clock) {}

  succeeded(): void {
    this.#answeredAt = this.clock.monotonic();
    this.#failuresInARow = 0;
    this.#silentSince = undefined;
  }

  failed(error: unknown, startedAt: number): void {
    if (this.#failuresInARow++ === 0) this.#failingSince = this.clock.monotonic();
    this.#silentSince = error instanceof SecondTierTimeout ? (this.#silentSince ?? startedAt) : undefined;
  }

  hasAnsweredWithin(ms: number): boolean {
    return this.clock.monotonic() - this.#answeredAt < ms;
  }

  isFailingFor(ms: number): boolean {
    return this.#failuresInARow > 0 && this.clock.monotonic() - this.#failingSince >= ms;
  }

  /**
   * Whether so many failed in a row that it is away, however many succeeded before. Those of one moment don't count: when
   * this process pauses, all that is under way fails at once.
   */
  isLost(readTimeoutMs: number): boolean {
    return this.#failuresInARow >= FAILURES_IN_A_ROW && this.isFailingFor(readTimeoutMs);
  }

  isSilentFor(ms: number): boolean {
    return this.#silentSince !== undefined && this.clock.monotonic() - this.#silentSince >= ms;
  }

  /** There is a new connection to ask. */
  renewed(): void {
    this.#silentSince = undefined;
  }
}
