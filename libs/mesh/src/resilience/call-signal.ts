import type { Attempt } from '../core/policy.port.js';

// The attempt whose function is being entered right now. Set and restored around one synchronous call, so it never
// outlives it and two applications never see each other's.
let entering: Attempt | undefined;

/**
 * The signal of the attempt that the running code belongs to: aborts when the attempt times out, the caller gives up or
 * the deadline passes. Valid until the decorated function's first `await`; later use the captured signal. Outside a
 * policy it is a signal that never aborts.
 */
export function callSignal(): AbortSignal {
  return entering?.signal ?? new AbortController().signal;
}

/** The attempt that is being entered, if any. */
export function currentAttempt(): Attempt | undefined {
  return entering;
}

/** Enters `work` with `attempt` as the current one. */
export function enterAttempt<T>(attempt: Attempt, work: (attempt: Attempt) => T): T {
  const outer = entering;
  entering = attempt;
  try {
    return work(attempt);
  } finally {
    entering = outer;
  }
}
