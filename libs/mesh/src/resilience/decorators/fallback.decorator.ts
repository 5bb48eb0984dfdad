import { adviseMethod } from '../../core/method-advice.js';
import type { AsyncMethod, FallbackCheck, FallbackFunction } from './async-method.js';
import { type FallbackPart, MethodFallback } from './method-fallback.js';

export interface FallbackOptions {
  /** Which errors are answered. @default failures of the callee and refusals, but no other 4xx and no cancelled call */
  readonly when?: (error: unknown) => boolean;
}

/**
 * Answers for the method when its call failed for good: after all retries, or refused by an open circuit.
 *
 * A method is called with the same arguments; a function with the error first, then the arguments. Both must return what
 * the method returns. A name that is no method of the class is a {@link MeshConfigError} at boot. What the fallback
 * throws is what the caller sees; a stream that has already emitted is not begun anew.
 */
export function Fallback<const F extends string | FallbackFunction>(fallback: F, { when }: FallbackOptions = {}) {
  return <This extends object, T extends AsyncMethod>(
    target: This,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<T> & FallbackCheck<This, T, F>,
  ): void => addFallback(target, key, descriptor, { fallback, when });
}

export function addFallback(
  target: object,
  key: string | symbol,
  descriptor: PropertyDescriptor,
  part: FallbackPart,
): void {
  const advice = adviseMethod(target, key, descriptor, MethodFallback.KIND, () => new MethodFallback());
  advice.set(part, `${target.constructor.name}.${String(key)}`);
}
