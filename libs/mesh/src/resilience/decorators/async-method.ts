import type { Observable } from 'rxjs';

/** A method that a policy can stand around: one that is over later. Sync methods under a decorator do not compile. */
export type AsyncMethod = (...args: never[]) => Promise<unknown> | Observable<unknown>;

/** What stands in for the result of a method: the plain value, or what the method itself gives back. */
export type Answer<T extends AsyncMethod> =
  ReturnType<T> extends Observable<infer V>
    ? V | Promise<V> | Observable<V>
    : ReturnType<T> extends Promise<infer V>
      ? V | PromiseLike<V>
      : never;

/** A function that answers for a failed call: told the error, then what the method was called with. */
export type FallbackFunction = (error: unknown, ...args: never[]) => unknown;

/** Compiles when `F` - a function, or the name of a method of `This` - can answer for a method of type `T`. */
export type FallbackCheck<This, T extends AsyncMethod, F> = F extends FallbackFunction
  ? AnswerCheck<T, ReturnType<F>> & ParametersCheck<T, F>
  : F extends keyof This
    ? This[F] extends (...args: never[]) => infer R
      ? AnswerCheck<T, R> & MethodParametersCheck<T, This[F]>
      : { 'the fallback must be a method': F }
    : // Private methods can't be seen by type; that they exist is checked at boot.
      unknown;

type AnswerCheck<T extends AsyncMethod, R> = [R] extends [Answer<T>]
  ? unknown
  : { 'the fallback must return the type of the method': R };

type ParametersCheck<T extends AsyncMethod, F extends FallbackFunction> = F extends (
  error: unknown,
  ...args: infer P
) => unknown
  ? ArgumentsCheck<Parameters<T>, P>
  : unknown;

type MethodParametersCheck<T extends AsyncMethod, F> = F extends (...args: infer P) => unknown
  ? ArgumentsCheck<Parameters<T>, P>
  : unknown;

type ArgumentsCheck<Given extends readonly unknown[], P extends readonly unknown[]> = ((...args: P) => void) extends (
  ...args: Given
) => void
  ? unknown
  : { 'the fallback must take the arguments of the method': P };

/** The decorator of a method that needs nothing beside being async. */
export type AsyncMethodDecorator<Args extends readonly unknown[] = []> = <T extends AsyncMethod>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<T> & KeyCheck<T, Args>,
) => void;

/** Compiles when a function of `Args` can be given the arguments of a method of type `T`. */
export type KeyCheck<T extends AsyncMethod, Args extends readonly unknown[]> = ((...args: Args) => void) extends (
  ...args: Parameters<T>
) => void
  ? unknown
  : { 'the key must be made of the arguments of the method': Args };
