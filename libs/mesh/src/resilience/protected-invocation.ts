import { defer, isObservable } from 'rxjs';
import type { Invocation } from '../core/method-advice.js';
import type { ExecuteOptions } from '../core/policy.port.js';
import { observeThrough, type StreamSuccess, toObservable } from './observable-call.js';
import { cancelled } from './call-errors.js';
import type { ResiliencePolicy } from './resilience-policy.js';
import { isThenable, type ReturnKind, undecided } from './return-kind.js';

export interface InvocationOptions {
  readonly optionsOf: (args: readonly unknown[]) => ExecuteOptions;
  readonly kind: ReturnKind;
  readonly success?: StreamSuccess | undefined;
  /** Whether a method that turns out to be synchronous is let through bare, as on a client that is wrapped as a whole. */
  readonly syncPasses?: boolean;
}

/** Calls `next` through the policy and gives back what it gives back: a promise, or an Observable. */
export function protectedInvocation(
  policy: ResiliencePolicy,
  next: Invocation,
  { optionsOf, kind, success, syncPasses = false }: InvocationOptions,
): Invocation {
  // What fails before the call - a key that can't be made - fails as the call would.
  const execute = (args: readonly unknown[], work: () => unknown): Promise<unknown> => {
    let options: ExecuteOptions;
    try {
      options = optionsOf(args);
    } catch (error) {
      return Promise.reject(error);
    }
    return policy.execute(work, options);
  };
  const asPromise: Invocation = (self, args) => execute(args, () => next(self, args));
  const asObservable = (self: object, args: readonly unknown[], first?: unknown): unknown => {
    let ready = first;
    const start = () => {
      const result = ready ?? next(self, args);
      ready = undefined;
      return toObservable(result);
    };
    return defer(() => observeThrough(policy, start, { ...optionsOf(args), ...(success && { success }) }));
  };
  if (kind === 'promise') return asPromise;
  if (kind === 'observable') return (self, args) => asObservable(self, args);

  // Nothing tells the kind: the first call that runs does, and is answered in that kind.
  let learned: Invocation | undefined;
  return (self, args) => {
    if (learned) return learned(self, args);
    let result: unknown;
    let thrown: { readonly error: unknown } | undefined;
    let refusedSoFar = false;
    const call = execute(args, () => {
      try {
        result = next(self, args);
      } catch (error) {
        if (!syncPasses || refusedSoFar) throw error;
        // Nothing tells whether it would have been a call; whoever called gets what the bare method gives.
        thrown = { error };
        throw cancelled(policy.name, 'the method threw before it gave back anything');
      }
      if (isObservable(result)) {
        learned = (...again) => asObservable(...again);
        if (refusedSoFar) return asObservable(self, args, result);
        // Not a call yet: it becomes one with its first subscription.
        throw cancelled(policy.name, 'the method returned an Observable');
      }
      learned = syncPasses && !isThenable(result) ? next : asPromise;
      return result;
    });
    refusedSoFar = true;

    if (thrown) {
      call.catch(() => undefined);
      throw thrown.error;
    }
    if (learned === asPromise) return call;
    if (learned === undefined) return undecided(call);
    call.catch(() => undefined);
    return learned === next ? result : asObservable(self, args, result);
  };
}
