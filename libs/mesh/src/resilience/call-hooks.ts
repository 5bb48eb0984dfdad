import type { Attempt, ExecuteOptions } from '../core/policy.port.js';

/** What the room's own front ends (decorators, Observables, fetch) add to a call. */
export interface CallHooks<T> {
  /** Asked before each retry or hedge; `false` makes the failure final: an Observable that has emitted must not start again. */
  readonly mayRepeat?: () => boolean;
  /** Asked when the caller gives up: whether the attempt has answered it by then, and so was a success. @default never */
  readonly hasAnswered?: (attempt: Attempt) => boolean;
  /** Answers in place of a failed call. Its own error is what the caller then sees. */
  readonly fallback?: (error: unknown) => PromiseLike<T> | T;
  /** Which errors the fallback answers. @default {@link isFallbackWorthy} */
  readonly fallbackWhen?: (error: unknown) => boolean;
}

export interface CallOptions<T> extends ExecuteOptions, CallHooks<T> {}
