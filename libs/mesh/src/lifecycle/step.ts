import type { Clock } from '../core/clock.js';
import { StepTimeoutError } from './lifecycle.errors.js';

export interface StepLimits {
  readonly clock: Clock;
  /** What is running, for the timeout's message: `start of component "cache"`. */
  readonly what: string;
  readonly timeoutMs: number;
  /** Ends the step early: the whole start or shutdown was called off. */
  readonly signal?: AbortSignal | undefined;
  /** How long a called-off step may take to give up by itself before nobody waits for it. */
  readonly graceMs?: number;
}

/**
 * Runs one step of a component within its time. The step's own signal aborts when the time is over or the outer signal
 * aborts; a step that ignores it is left behind, and what it does later changes nothing.
 * @throws {StepTimeoutError} when the time is over.
 */
export function runStep<T>(limits: StepLimits, work: (signal: AbortSignal) => Promise<T> | T): Promise<T> {
  const { clock, what, timeoutMs, signal: outer, graceMs = 0 } = limits;
  return new Promise<T>((resolve, reject) => {
    if (outer?.aborted) return reject(outer.reason);
    const controller = new AbortController();
    const limit = clock.setTimer(() => {
      const error = new StepTimeoutError(what, timeoutMs);
      settle(() => reject(error));
      controller.abort(error);
    }, timeoutMs);
    let grace: { cancel(): void } | undefined;

    const callOff = (): void => {
      limit.cancel();
      grace = clock.setTimer(() => settle(() => reject(outer!.reason)), graceMs);
      controller.abort(outer!.reason);
    };
    const settle = (deliver: () => void): void => {
      limit.cancel();
      grace?.cancel();
      outer?.removeEventListener('abort', callOff);
      deliver();
    };

    outer?.addEventListener('abort', callOff, { once: true });
    invoke(work, controller.signal).then(
      (value) => settle(() => (outer?.aborted ? reject(outer.reason) : resolve(value))),
      (error: unknown) => settle(() => reject(outer?.aborted ? outer.reason : error)),
    );
  });
}

/** `work`, unless the signal aborts first; then its reason. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** A step that throws at once fails like one that rejects. */
async function invoke<T>(work: (signal: AbortSignal) => Promise<T> | T, signal: AbortSignal): Promise<T> {
  return work(signal);
}
