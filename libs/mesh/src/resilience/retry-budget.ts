import { BUDGET_WINDOW_MS } from './resilience.constants.js';

export interface RetryBudgetSettings {
  readonly ratio: number;
  readonly minPerSecond: number;
}

/**
 * Allows retries only as a share of the calls of the last ten seconds, plus a floor: when everything fails, the callee
 * sees 1.2 times the load instead of three times. A sliding-window counter: two periods, the older one weighted.
 *
 * @see https://finagle.github.io/blog/2016/02/08/retry-budgets/
 */
export class RetryBudget {
  #periodEndsAt = 0;
  #calls = 0;
  #retries = 0;
  #previousCalls = 0;
  #previousRetries = 0;

  constructor(private settings: RetryBudgetSettings) {}

  countCall(now: number): void {
    if (now >= this.#periodEndsAt) this.#turn(now);
    this.#calls++;
  }

  /** Spends one retry, if there is one left. */
  trySpend(now: number): boolean {
    if (now >= this.#periodEndsAt) this.#turn(now);
    const weight = (this.#periodEndsAt - now) / BUDGET_WINDOW_MS;
    const calls = this.#calls + weight * this.#previousCalls;
    const retries = this.#retries + weight * this.#previousRetries;
    const { ratio, minPerSecond } = this.settings;
    if (retries + 1 > calls * ratio + (minPerSecond * BUDGET_WINDOW_MS) / 1_000) return false;
    this.#retries++;
    return true;
  }

  configure(settings: RetryBudgetSettings): void {
    this.settings = settings;
  }

  #turn(now: number): void {
    const recent = now < this.#periodEndsAt + BUDGET_WINDOW_MS && this.#periodEndsAt > 0;
    this.#previousCalls = recent ? this.#calls : 0;
    this.#previousRetries = recent ? this.#retries : 0;
    this.#calls = this.#retries = 0;
    this.#periodEndsAt = recent ? this.#periodEndsAt + BUDGET_WINDOW_MS : now + BUDGET_WINDOW_MS;
  }
}
