import { from, isObservable, Observable, type ObservableInput, of, Subject, takeUntil } from 'rxjs';
import type { Attempt, ExecuteOptions } from '../core/policy.port.js';
import { cancelled } from './call-errors.js';
import type { ResiliencePolicy } from './resilience-policy.js';
import { isThenable } from './return-kind.js';

/** When the call counts as a success and its time limits end: at the end of the stream, or at its first value. */
export type StreamSuccess = 'complete' | 'first';

export interface ObservableCallOptions extends ExecuteOptions {
  /** `first` is for streams that have no end. @default 'complete' */
  readonly success?: StreamSuccess;
}

/**
 * An Observable of which each subscription is one call through the policy: permits are taken when it is subscribed to,
 * the outcome is recorded when it ends, and unsubscribing cancels the call: a success if it has emitted, else nothing.
 * Once a value has been emitted the source is never started again, so that nobody sees a value twice.
 */
export function observeThrough<T>(
  policy: ResiliencePolicy,
  start: (attempt: Attempt) => ObservableInput<T>,
  { success = 'complete', signal, ...options }: ObservableCallOptions = {},
): Observable<T> {
  return new Observable<T>((subscriber) => {
    const cancel = new AbortController();
    const running = new Set<(reason: unknown) => void>();
    let speaker: Attempt | undefined;
    let settled = false;

    subscriber.add(() => {
      if (!settled) cancel.abort(UNSUBSCRIBED);
      for (const stop of running) stop(UNSUBSCRIBED);
    });

    const runOnce = (attempt: Attempt): Promise<T | undefined> =>
      new Promise((resolve, reject) => {
        const source = from(start(attempt));
        const stopped = new Subject<void>();
        let answered = false;
        let last: T | undefined;

        const stop = (reason: unknown): void => {
          if (!running.delete(stop)) return;
          stopped.next();
          reject(reason);
        };
        running.add(stop);
        attempt.signal.addEventListener('abort', () => !answered && stop(attempt.signal.reason), { once: true });

        source.pipe(takeUntil(stopped)).subscribe({
          next: (value) => {
            // A hedged call has two sources: the first that speaks silences the other.
            if (!speaker) for (const other of running) if (other !== stop) other(cancelled(policy.name, SUPERSEDED));
            speaker ??= attempt;
            last = value;
            subscriber.next(value);
            if (success !== 'first' || answered) return;
            answered = true;
            resolve(value);
          },
          error: (error: unknown) => {
            running.delete(stop);
            if (answered) subscriber.error(error);
            else reject(error);
          },
          complete: () => {
            if (!running.delete(stop)) return;
            if (answered) subscriber.complete();
            else resolve(last);
          },
        });
      });

    policy
      .execute(runOnce, {
        ...options,
        signal: signal ? AbortSignal.any([signal, cancel.signal]) : cancel.signal,
        mayRepeat: () => !speaker,
        // Who unsubscribes then has its answer, as `firstValueFrom` does.
        hasAnswered: (attempt) => attempt === speaker,
      })
      .then(
        () => {
          settled = true;
          if (running.size === 0) subscriber.complete();
        },
        (error: unknown) => {
          settled = true;
          subscriber.error(error);
        },
      );
  });
}

/** What a method gave back, as an Observable: a stream as it is, a promise resolved, a plain value emitted. */
export function toObservable<T>(result: Observable<T> | PromiseLike<T> | T): Observable<T> {
  if (isObservable(result)) return result as Observable<T>;
  return isThenable(result) ? from(result as PromiseLike<T>) : of(result as T);
}

const UNSUBSCRIBED = 'unsubscribed';
const SUPERSEDED = 'another attempt answered first';
