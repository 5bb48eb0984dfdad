import { defer, from, isObservable, mergeMap, type Observable, of } from 'rxjs';

/** What a method gives back. `undefined` where that is known only after its first call. */
export type ReturnKind = 'promise' | 'observable' | undefined;

/** The kind by what the compiler wrote down: an `async` function, or the declared return type. */
export function returnKindOf(target: object, key: string | symbol, method: object): ReturnKind {
  if (Object.prototype.toString.call(method) === '[object AsyncFunction]') return 'promise';
  const type: unknown = Reflect.getMetadata('design:returntype', target, key);
  if (type === Promise) return 'promise';
  return typeof type === 'function' && isObservable(type.prototype) ? 'observable' : undefined;
}

/** A result that serves both kinds of callers: what a call gives back that was refused before its method ever ran. */
export type Undecided = Observable<unknown> & Promise<unknown>;

/** Makes a promise usable as an Observable as well; a promised Observable is flattened. */
export function undecided(promise: Promise<unknown>): Undecided {
  // Whoever takes it for an Observable and never subscribes must not bring the process down.
  promise.catch(() => undefined);
  const observable = defer(() => from(promise).pipe(mergeMap((value) => (isObservable(value) ? value : of(value)))));
  return Object.assign(observable, {
    // oxlint-disable-next-line unicorn/no-thenable -- being awaited is what it is for
    then: promise.then.bind(promise),
    catch: promise.catch.bind(promise),
    finally: promise.finally.bind(promise),
    [Symbol.toStringTag]: 'Undecided',
  }) as Undecided;
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    typeof (value as { then?: unknown }).then === 'function'
  );
}
