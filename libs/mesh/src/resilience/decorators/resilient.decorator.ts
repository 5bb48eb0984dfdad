import { adviseMethod } from '../../core/method-advice.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import type { StreamSuccess } from '../observable-call.js';
import type { PolicyDeclaration } from '../resilience.options.js';
import type { AsyncMethod, FallbackCheck, FallbackFunction, KeyCheck } from './async-method.js';
import { setClassPolicy } from './class-policy.js';
import { addFallback } from './fallback.decorator.js';
import { MethodPolicy, type MethodPolicyPart } from './method-policy.js';

/** Options of {@link Resilient}. Protections written here declare the policy; configuration of its name wins over them. */
export interface ResilientOptions<
  F extends string | FallbackFunction | undefined = undefined,
  Args extends readonly unknown[] = readonly [],
> extends Omit<PolicyDeclaration, 'onlyNamed'> {
  /** Selects the breaker among those of the policy, of the method's arguments: per tenant, per host. */
  readonly key?: (...args: Args) => string | undefined;
  /** Answers for a call that failed for good: a method by name, given the same arguments, or a function of the error and them. */
  readonly fallback?: F;
  /** Which errors the fallback answers. @default failures of the callee and refusals, but no other 4xx and no cancelled call */
  readonly fallbackWhen?: (error: unknown) => boolean;
  /** For Observables: when the call counts as a success. @default 'complete' */
  readonly success?: StreamSuccess;
}

type ResilientMethod<F, Args extends readonly unknown[]> = <This extends object, T extends AsyncMethod>(
  target: This,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<T> & FallbackCheck<This, T, F> & KeyCheck<T, Args>,
) => void;

type ResilientClass = (type: abstract new (...args: never[]) => object) => void;

/** On a method, or on a class unless it has a fallback: that belongs to one method. */
export type ResilientDecorator<F, Args extends readonly unknown[]> = ResilientMethod<F, Args> &
  (F extends undefined ? ResilientClass : unknown);

/**
 * Runs the method through a whole policy, with all its defaults.
 *
 * With a name alone the policy is one of the configuration or of another decorator, and a name that matches neither is a
 * {@link MeshConfigError} at boot. Without a name it is the class's, or the method's own, called `Class.method`.
 *
 * On a class it gives its policy to those methods of the class that carry a decorator of the mesh, and wraps no others.
 */
export function Resilient<
  const F extends string | FallbackFunction | undefined = undefined,
  Args extends readonly unknown[] = readonly [],
>(options?: ResilientOptions<F, Args>): ResilientDecorator<F, Args>;
export function Resilient<
  const F extends string | FallbackFunction | undefined = undefined,
  Args extends readonly unknown[] = readonly [],
>(policy: string, options?: ResilientOptions<F, Args>): ResilientDecorator<F, Args>;
export function Resilient<F extends string | FallbackFunction | undefined, Args extends readonly unknown[]>(
  policyOrOptions?: string | ResilientOptions<F, Args>,
  namedOptions?: ResilientOptions<F, Args>,
): ResilientDecorator<F, Args> {
  const policy = typeof policyOrOptions === 'string' ? policyOrOptions : undefined;
  const options = (typeof policyOrOptions === 'string' ? namedOptions : policyOrOptions) ?? {};
  const { key, idempotent, success, fallback, fallbackWhen, ...protections } = options;
  const declaration = Object.keys(protections).length > 0 ? protections : undefined;
  const facts = { key: key as MethodPolicyPart['key'], idempotent };

  const decorate = (target: object, method?: string | symbol, descriptor?: PropertyDescriptor): void => {
    if (method === undefined || descriptor === undefined)
      return decorateClass(target as { readonly name: string }, { policy, declaration, fallback, ...facts });
    const part = { decorator: '@Resilient', policy, declaration, whole: true, success, ...facts };
    addPart(target, method, descriptor, part);
    if (fallback !== undefined) addFallback(target, method, descriptor, { fallback, when: fallbackWhen });
  };
  return decorate as ResilientDecorator<F, Args>;
}

/** Adds what a decorator says to the policy of its method, putting the trampoline in place if it is the first. */
export function addPart(
  target: object,
  key: string | symbol,
  descriptor: PropertyDescriptor,
  part: MethodPolicyPart,
): void {
  adviseMethod(target, key, descriptor, MethodPolicy.KIND, () => new MethodPolicy(target, key)).add(part);
}

interface OnClass extends Pick<MethodPolicyPart, 'policy' | 'declaration' | 'key' | 'idempotent'> {
  readonly fallback: unknown;
}

function decorateClass(type: { readonly name: string }, { policy, declaration, fallback, ...facts }: OnClass): void {
  if (fallback !== undefined)
    throw new MeshConfigError(
      `@Resilient on the class ${type.name} has a fallback; put it on the method it answers for.`,
    );
  const own = policy === undefined ? (declaration ?? {}) : declaration;
  setClassPolicy(type, { policy: policy ?? type.name, declaration: own, origin: type.name, ...facts });
}
