/** `isolated`: held open by an operator. `disabled`: calls pass, still observed. */
export type BreakerState = 'closed' | 'open' | 'half-open' | 'isolated' | 'disabled';

/** What a protected function is told about the attempt that it runs in. */
export interface Attempt {
  /** Aborts when the attempt times out, the caller gives up, or the deadline passes. Made on first access. */
  readonly signal: AbortSignal;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** Milliseconds until the attempt's limit, at the time of reading; `Infinity` without a limit. */
  readonly remainingMs: number;
}

export interface ExecuteOptions {
  /** The caller's own signal: aborting it ends the call and counts as neither success nor failure. */
  readonly signal?: AbortSignal;
  /** Epoch ms after which the call must be over; the context's deadline applies as well, whichever ends first. */
  readonly deadline?: number;
  /** Selects the breaker of a keyed policy: per host, per tenant. */
  readonly key?: string;
  /** Whether the function may run twice without harm; without it only unsent calls are retried. */
  readonly idempotent?: boolean;
  /** Limit of each attempt of this call in milliseconds, instead of the policy's `timeoutMs`. */
  readonly timeoutMs?: number;
}

/** A named set of protections - timeouts, retry, bulkhead, circuit breaker … - that functions run through. */
export interface Policy {
  readonly name: string;
  /** Runs `work` under the policy. Rejects with what `work` rejects with, or with a mesh error that says what refused it. */
  execute<T>(work: (attempt: Attempt) => PromiseLike<T> | T, options?: ExecuteOptions): Promise<T>;
}

/** Hands out policies to rooms that protect their own calls (the cache's second tier, broker requests). */
export abstract class PolicyRunner {
  /**
   * The policy of that name.
   * @throws {MeshConfigError} when no configuration, pattern or declaration matches the name.
   */
  abstract policy(name: string): Policy;
}
