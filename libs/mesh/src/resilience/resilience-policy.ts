import type { Attempt, Policy } from '../core/policy.port.js';
import type { CallOptions } from './call-hooks.js';
import { enterAttempt } from './call-signal.js';

/** The handle of one named policy. Keep it: it stays valid while options change. */
export class ResiliencePolicy implements Policy {
  constructor(readonly name: string) {}

  async execute<T>(work: (attempt: Attempt) => PromiseLike<T> | T, _options?: CallOptions<T>): Promise<T> {
    return enterAttempt({ signal: new AbortController().signal, attempt: 1, remainingMs: Infinity }, work);
  }
}
