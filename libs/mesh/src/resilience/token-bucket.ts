export interface RateLimitSettings {
  readonly limit: number;
  readonly intervalMs: number;
  readonly burst: number | false;
}

/** A token bucket: `limit` calls per interval, and up to `burst` at once after a quiet time. Filled by the clock, lazily. */
export class TokenBucket {
  #tokens: number;
  #filledAt: number;

  constructor(
    private settings: RateLimitSettings,
    now: number,
  ) {
    this.#tokens = this.#capacity;
    this.#filledAt = now;
  }

  tryTake(now: number): boolean {
    this.#fill(now);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Milliseconds until the next token. */
  retryAfterMs(now: number): number {
    this.#fill(now);
    return Math.max(0, ((1 - this.#tokens) * this.settings.intervalMs) / this.settings.limit);
  }

  /** Takes new limits over; tokens in hand stay, up to the new capacity. */
  configure(settings: RateLimitSettings, now: number): void {
    this.#fill(now);
    this.settings = settings;
    this.#tokens = Math.min(this.#tokens, this.#capacity);
  }

  get #capacity(): number {
    return Math.max(1, this.settings.burst === false ? this.settings.limit : this.settings.burst);
  }

  #fill(now: number): void {
    const earned = ((now - this.#filledAt) * this.settings.limit) / this.settings.intervalMs;
    if (earned <= 0) return;
    this.#tokens = Math.min(this.#capacity, this.#tokens + earned);
    this.#filledAt = now;
  }
}
