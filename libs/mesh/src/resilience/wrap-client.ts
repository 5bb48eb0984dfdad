import type { Observable } from 'rxjs';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { ExecuteOptions } from '../core/policy.port.js';
import { protectedInvocation } from './protected-invocation.js';
import type { ResiliencePolicy } from './resilience-policy.js';

/** The names of the methods of a client that give back a promise or an Observable. */
export type AsyncMethodName<T> = {
  [K in keyof T]-?: T[K] extends (...args: never[]) => Promise<unknown> | Observable<unknown> ? K : never;
}[keyof T] &
  string;

export interface WrapOptions<T> {
  /** The methods that go through the policy. @default all that turn out to be asynchronous */
  readonly methods?: readonly AsyncMethodName<T>[];
  /** The methods that may run twice without harm, or `true` for all of them. @default what the policy says */
  readonly idempotent?: true | readonly AsyncMethodName<T>[];
  /** Selects the breaker among those of the policy: per method, per tenant. */
  readonly key?: (method: string, args: readonly unknown[]) => string | undefined;
}

/**
 * The same client with its asynchronous methods going through the policy; everything else is the client itself. Calls
 * that the client makes to itself stay inside the one call.
 *
 * Whether a method is asynchronous shows when it first runs. Name `methods` where a synchronous one must keep answering
 * even if its very first call meets an open circuit.
 *
 * @throws {MeshConfigError} when the client is frozen, which leaves no room for a protection; when a method is called
 * that is read-only.
 */
export function wrapClient<T extends object>(policy: ResiliencePolicy, client: T, options: WrapOptions<T> = {}): T {
  if (Object.isFrozen(client))
    throw new MeshConfigError(`Policy "${policy.name}" can't wrap a frozen object; wrap it before it is frozen.`);
  const wanted = options.methods && new Set<string>(options.methods);
  const wrapped = new Map<string, { readonly bare: unknown; readonly method: unknown }>();

  return new Proxy(client, {
    get(target, name) {
      // The client itself is `this`, or its private fields would be out of reach.
      const bare: unknown = Reflect.get(target, name, target);
      if (typeof bare !== 'function' || typeof name !== 'string' || name === 'constructor') return bare;
      if (wanted && !wanted.has(name)) return bare;
      const known = wrapped.get(name);
      if (known?.bare === bare) return known.method;
      refuseReadOnly(policy, target, name);
      const method = wrapMethod(policy, target, name, bare as Method, options);
      wrapped.set(name, { bare, method });
      return method;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}

/** JavaScript lets no proxy answer with anything else than what such a property is. */
function refuseReadOnly(policy: ResiliencePolicy, client: object, name: string): void {
  const own = Reflect.getOwnPropertyDescriptor(client, name);
  if (own?.writable === false && !own.configurable)
    throw new MeshConfigError(
      `Policy "${policy.name}" can't wrap the method "${name}", which is read-only; name the others in methods, and run this one by policy.execute.`,
    );
}

type Method = (...args: readonly unknown[]) => unknown;

function wrapMethod<T extends object>(
  policy: ResiliencePolicy,
  client: T,
  name: string,
  bare: Method,
  { methods, idempotent, key }: WrapOptions<T>,
): Method {
  const repeatable = idempotent === true || (idempotent as readonly string[] | undefined)?.includes(name);
  const fixed: ExecuteOptions = idempotent === undefined ? {} : { idempotent: repeatable === true };
  const optionsOf = (args: readonly unknown[]): ExecuteOptions => {
    const value = key?.(name, args);
    return value === undefined ? fixed : { ...fixed, key: value };
  };
  const kind = Object.prototype.toString.call(bare) === '[object AsyncFunction]' ? 'promise' : undefined;
  const invocation = protectedInvocation(policy, (self, args) => bare.apply(self, args as unknown[]), {
    optionsOf,
    kind,
    syncPasses: methods === undefined,
  });
  return (...args) => invocation(client, args);
}
