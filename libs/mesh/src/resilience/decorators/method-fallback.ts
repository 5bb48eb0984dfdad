import { catchError, defer, isObservable, type Observable, tap } from 'rxjs';
import { AdviceStage, type DecoratedMethod, type Invocation, type MethodAdvice } from '../../core/method-advice.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import type { MeshRuntime } from '../../core/mesh-runtime.js';
import { isFallbackWorthy } from '../error-classification.js';
import { toObservable } from '../observable-call.js';
import type { ResiliencePolicy } from '../resilience-policy.js';
import { isThenable, undecided } from '../return-kind.js';
import type { FallbackFunction } from './async-method.js';
import { MethodPolicy, placeOf } from './method-policy.js';

type Recover = (self: object, args: readonly unknown[], error: unknown) => unknown;

/** What stands in for a failed method. */
export interface FallbackPart {
  /** A method of the same object by name, or a function of the error and the method's arguments. */
  readonly fallback: string | FallbackFunction;
  readonly when?: ((error: unknown) => boolean) | undefined;
}

/** Answers for a method whose call failed for good: after all retries, or refused by an open circuit. */
export class MethodFallback implements MethodAdvice {
  static readonly KIND = 'fallback';
  readonly kind = MethodFallback.KIND;
  readonly stage = AdviceStage.fallback;
  #part: FallbackPart | undefined;

  set(part: FallbackPart, place: string): void {
    if (this.#part) throw new MeshConfigError(`${place} has two fallbacks; keep one.`);
    this.#part = part;
  }

  bind(next: Invocation, method: DecoratedMethod, runtime: MeshRuntime): Invocation {
    if (!this.#part) return next;
    const protections = method.advices.find((advice) => advice instanceof MethodPolicy);
    const recover = recoverWith(this.#part, method, protections?.policyOf(method, runtime));
    return (self, args) => {
      const result = next(self, args);
      const onError = (error: unknown): unknown => recover(self, args, error);
      if (isObservable(result) && !isThenable(result)) return recoverStream(result, onError);
      if (!isThenable(result)) return result;
      const answered = Promise.resolve(result).catch(onError);
      return isObservable(result) ? undecided(answered) : answered;
    };
  }
}

function recoverWith(
  { fallback, when }: FallbackPart,
  method: DecoratedMethod,
  policy: ResiliencePolicy | undefined,
): Recover {
  const answer = typeof fallback === 'string' ? byName(fallback, method) : byFunction(fallback);
  const admits = (error: unknown): boolean =>
    policy ? policy.admitsFallback(error, when) : (when ?? isFallbackWorthy)(error);
  return (self, args, error) => {
    if (!admits(error)) throw error;
    return answer(self, args, error);
  };
}

function byFunction(fallback: FallbackFunction): Recover {
  return (self, args, error) => fallback.apply(self, [error, ...(args as readonly never[])]);
}

/** The method is looked up on the object itself at each call, so that a subclass may override it. */
function byName(name: string, method: DecoratedMethod): Recover {
  if (typeof (method.owner.prototype as Record<string, unknown>)[name] !== 'function')
    throw new MeshConfigError(
      `The fallback "${name}" of ${placeOf(method)} is not a method of ${method.owner.name}; add it or correct the name.`,
    );
  return (self, args) => (self as Record<string, (...args: readonly unknown[]) => unknown>)[name]!(...args);
}

/** A stream that has already emitted is not begun anew: its error passes. */
function recoverStream(source: Observable<unknown>, onError: (error: unknown) => unknown): Observable<unknown> {
  return defer(() => {
    let emitted = false;
    return source.pipe(
      tap({ next: () => void (emitted = true) }),
      catchError((error: unknown) => {
        if (emitted) throw error;
        return toObservable(onError(error));
      }),
    );
  });
}
