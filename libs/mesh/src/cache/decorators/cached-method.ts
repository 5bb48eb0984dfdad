import type { Observable } from 'rxjs';

/** A method whose result comes later. Sync methods under a decorator of the cache do not compile. */
export type CacheableMethod = (...args: never[]) => Promise<unknown> | Observable<unknown>;

/** Compiles when functions of `Args` can be given the arguments of a method of type `T`. */
export type ArgumentsCheck<T extends CacheableMethod, Args extends readonly unknown[]> = ((
  ...args: Args
) => void) extends (...args: Parameters<T>) => void
  ? unknown
  : { 'key, tags and when must take the arguments of the method': Args };

export type CacheMethodDecorator<Args extends readonly unknown[]> = <T extends CacheableMethod>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<T> & ArgumentsCheck<T, Args>,
) => void;

/** A list that is the same for every call, or made of the call's arguments. */
export type PerCall<Args extends readonly unknown[]> = readonly string[] | ((...args: Args) => readonly string[]);

export function perCall<Args extends readonly unknown[]>(
  list: PerCall<Args> | undefined,
  args: Args,
): readonly string[] {
  return typeof list === 'function' ? list(...args) : (list ?? []);
}
