import { AdviceStage, type DecoratedMethod, type Invocation, type MethodAdvice } from '../../core/method-advice.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import type { MeshRuntime } from '../../core/mesh-runtime.js';
import { messageOf } from '../../core/message-of.js';
import type { ExecuteOptions } from '../../core/policy.port.js';
import { CircuitBreakerManager } from '../circuit-breaker.manager.js';
import type { StreamSuccess } from '../observable-call.js';
import { protectedInvocation } from '../protected-invocation.js';
import type { PolicyDeclaration } from '../resilience.options.js';
import type { ResiliencePolicy } from '../resilience-policy.js';
import { returnKindOf } from '../return-kind.js';
import { type ClassPolicy, classPolicyOf } from './class-policy.js';

/** What a decorator says about the calls of its method, beside the policy. */
export interface CallFacts {
  readonly key?: ((...args: never[]) => string | undefined) | undefined;
  readonly idempotent?: boolean | undefined;
  readonly success?: StreamSuccess | undefined;
}

/** What one decorator adds to the policy of its method. */
export interface MethodPolicyPart extends CallFacts {
  /** For messages: `@Retry`. */
  readonly decorator: string;
  readonly policy?: string | undefined;
  readonly declaration?: PolicyDeclaration | undefined;
  /** Whether the policy is all of its protections, and not only those that decorators name. */
  readonly whole?: boolean;
}

/** Runs a method through a policy: the one that its decorators name, or that they declare together. */
export class MethodPolicy implements MethodAdvice {
  static readonly KIND = 'resilience';
  readonly kind = MethodPolicy.KIND;
  readonly stage = AdviceStage.pipeline;
  readonly #parts: MethodPolicyPart[] = [];

  constructor(
    readonly target: object,
    readonly key: string | symbol,
  ) {}

  /** @throws {MeshConfigError} when another decorator of the method says something else about the same thing. */
  add(part: MethodPolicyPart): void {
    for (const other of this.#parts) {
      const both = `${part.decorator} and ${other.decorator} on ${this.target.constructor.name}.${String(this.key)}`;
      if (part.decorator === other.decorator) throw new MeshConfigError(`${both} are the same decorator; remove one.`);
      if (part.policy !== undefined && other.policy !== undefined && part.policy !== other.policy)
        throw new MeshConfigError(
          `${both} name different policies ("${part.policy}" and "${other.policy}"); a method has one.`,
        );
      const twice = Object.keys(part.declaration ?? {}).find((field) => field in (other.declaration ?? {}));
      if (twice !== undefined) throw new MeshConfigError(`${both} both set "${twice}"; set it in one of them.`);
    }
    this.#parts.push(part);
  }

  prepare(method: DecoratedMethod, runtime: MeshRuntime): void {
    this.#declare(method, runtime, (declaration) => declaration.extends === undefined);
  }

  bind(next: Invocation, method: DecoratedMethod, runtime: MeshRuntime): Invocation {
    const policy = this.policyOf(method, runtime);
    if (!policy) return next;
    if (/Generator/.test(Object.prototype.toString.call(method.original)))
      throw new MeshConfigError(
        `${this.#parts[0]!.decorator} on ${placeOf(method)}: a policy can't stand around a generator, whose values are fetched one by one; give back a promise or an Observable.`,
      );
    const base = classPolicyOf(method.owner);
    const idempotent = this.#parts.findLast((part) => part.idempotent !== undefined)?.idempotent ?? base?.idempotent;
    runtime.get(CircuitBreakerManager).noteUse(policy.name, { origin: placeOf(method), idempotent });
    const optionsOf = callOptions([base, ...this.#parts]);
    const success = this.#parts.find((part) => part.success)?.success;
    const kind = returnKindOf(this.target, this.key, method.original);
    return protectedInvocation(policy, next, { optionsOf, kind, success });
  }

  /** The policy of the method in one application; none when nothing but a fallback decorates it. */
  policyOf(method: DecoratedMethod, runtime: MeshRuntime): ResiliencePolicy | undefined {
    if (this.#parts.length === 0) return undefined;
    // What extends another policy comes after all policies that something might extend.
    this.#declare(method, runtime, (declaration) => declaration.extends !== undefined);
    const name = this.#name(method, classPolicyOf(method.owner));
    return this.#find(name, method, runtime.get(CircuitBreakerManager));
  }

  #declare(method: DecoratedMethod, runtime: MeshRuntime, isDue: (declaration: PolicyDeclaration) => boolean): void {
    if (this.#parts.length === 0) return;
    const manager = runtime.get(CircuitBreakerManager);
    const base = classPolicyOf(method.owner);
    const own = this.#declaration(base);
    if (base?.declaration && isDue(base.declaration)) manager.declare(base.policy, base.declaration, base.origin);
    if (own && isDue(own)) manager.declare(this.#name(method, base), own, placeOf(method));
  }

  /** What the decorators declare together; `undefined` when they only refer to a policy. */
  #declaration(base: ClassPolicy | undefined): PolicyDeclaration | undefined {
    const named = this.#parts.some((part) => part.policy !== undefined);
    const declarations = this.#parts.flatMap((part) => part.declaration ?? []);
    if (declarations.length === 0 && (named || base)) return undefined;
    const merged: PolicyDeclaration = Object.assign({}, ...declarations);
    if (base && !named) return { extends: base.policy, ...merged };
    return this.#parts.some((part) => part.whole) ? merged : { ...merged, onlyNamed: true };
  }

  #name(method: DecoratedMethod, base: ClassPolicy | undefined): string {
    const named = this.#parts.find((part) => part.policy !== undefined)?.policy;
    if (named !== undefined) return named;
    const declares = this.#parts.some((part) => part.declaration);
    return base && !declares ? base.policy : placeOf(method);
  }

  #find(name: string, method: DecoratedMethod, manager: CircuitBreakerManager): ResiliencePolicy {
    try {
      return manager.policy(name);
    } catch (cause) {
      throw new MeshConfigError(`${this.#parts[0]!.decorator} on ${placeOf(method)}: ${messageOf(cause)}`);
    }
  }
}

export function placeOf(method: DecoratedMethod): string {
  return `${method.owner.name}.${method.name}`;
}

/** The nearer to the method something is said, the more it counts. */
function callOptions(facts: readonly (CallFacts | undefined)[]): (args: readonly unknown[]) => ExecuteOptions {
  let key: CallFacts['key'];
  let fixed: ExecuteOptions = {};
  for (const fact of facts) {
    key = fact?.key ?? key;
    if (fact?.idempotent !== undefined) fixed = { idempotent: fact.idempotent };
  }
  if (!key) return () => fixed;
  const keyOf = key as (...args: readonly unknown[]) => string | undefined;
  return (args) => {
    const value = keyOf(...args);
    return value === undefined ? fixed : { ...fixed, key: value };
  };
}
