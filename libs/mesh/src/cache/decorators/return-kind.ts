import { isObservable, lastValueFrom, NEVER, Observable, take, takeUntil, toArray } from 'rxjs';
import type { DecoratedMethod } from '../../core/method-advice.js';
import { CacheUsageError } from '../cache.errors.js';

/** What a cached method gives back. */
export type ReturnKind = 'promise' | 'observable';

/** The kind by what the compiler wrote down - an `async` function, or the declared type - or `undefined` if it did not. */
export function declaredKind({ owner, name, original }: DecoratedMethod): ReturnKind | undefined {
  if (Object.prototype.toString.call(original) === '[object AsyncFunction]') return 'promise';
  const type: unknown = Reflect.getMetadata('design:returntype', owner.prototype, name);
  if (type === Promise) return 'promise';
  return typeof type === 'function' && isObservable(type.prototype) ? 'observable' : undefined;
}

/** @throws {CacheUsageError} when the method gave back something that is already there. */
export function kindOf(result: unknown, method: DecoratedMethod): ReturnKind {
  if (isObservable(result)) return 'observable';
  if (typeof (result as PromiseLike<unknown> | null | undefined)?.then === 'function') return 'promise';
  throw new CacheUsageError(
    `${method.owner.name}.${method.name} is under a decorator of the cache and must return a Promise or an Observable; make it async.`,
  );
}

/** The one value of a stream. Streams of many values can't be kept: they are refused and not cut short. */
export async function singleValue(
  source: Observable<unknown>,
  method: DecoratedMethod,
  signal?: AbortSignal,
): Promise<unknown> {
  const values = await lastValueFrom(source.pipe(take(2), toArray(), takeUntil(signal ? aborted(signal) : NEVER)), {
    defaultValue: [],
  });
  if (values.length > 1)
    throw new CacheUsageError(
      `${method.owner.name}.${method.name} is cached and emitted more than one value; only Observables of a single value can be cached.`,
    );
  return values[0];
}

/** A stream that is one asynchronous call at each subscription; unsubscribing aborts the call's signal. */
export function fromCall(call: (signal: AbortSignal) => Promise<unknown>): Observable<unknown> {
  return new Observable((subscriber) => {
    const abort = new AbortController();
    call(abort.signal).then(
      (value) => {
        subscriber.next(value);
        subscriber.complete();
      },
      (error: unknown) => subscriber.error(error),
    );
    return () => abort.abort();
  });
}

function aborted(signal: AbortSignal): Observable<unknown> {
  return new Observable((subscriber) => {
    const stop = (): void => subscriber.next(undefined);
    signal.addEventListener('abort', stop, { once: true });
    return () => signal.removeEventListener('abort', stop);
  });
}
