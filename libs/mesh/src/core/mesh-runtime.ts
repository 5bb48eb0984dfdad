import type { DecoratedMethod, Invocation } from './method-advice.js';
import { MeshConfigError } from './mesh.errors.js';

type PartToken<T> = abstract new (...args: never[]) => T;

/**
 * What decorated methods see of their own application's mesh. It depends on nothing, so that anything - a user's cache
 * with a circuit breaker on it - can have it injected without a cycle; the mesh fills it while the application starts.
 */
export class MeshRuntime {
  readonly #parts = new Map<PartToken<unknown>, unknown>();
  readonly #invocations: Invocation[] = [];

  provide<T>(token: PartToken<T>, part: T): void {
    this.#parts.set(token, part);
  }

  /** @throws {MeshConfigError} before the mesh was built, or when the part is switched off. */
  get<T>(token: PartToken<T>): T {
    const part = this.#parts.get(token) as T | undefined;
    if (part === undefined)
      throw new MeshConfigError(`A decorated method needs ${token.name}, which this application's mesh does not have.`);
    return part;
  }

  /** Calls the method through its advices, which are bound at the first call and kept. */
  invoke(method: DecoratedMethod, self: object, args: readonly unknown[]): unknown {
    return (this.#invocations[method.slot] ?? this.bind(method))(self, args);
  }

  /**
   * Binds all methods to this application now, so that what is wrong with their decorators is an error at boot, and so
   * that a decorator may refer to what another one declares, whichever comes first.
   */
  bindAll(methods: Iterable<DecoratedMethod>): void {
    const unbound = [...new Set(methods)].filter((method) => this.#invocations[method.slot] === undefined);
    for (const method of unbound) this.#prepare(method);
    for (const method of unbound) this.#wrap(method);
  }

  /** Binds one method: of a class that was loaded after the start. */
  bind(method: DecoratedMethod): Invocation {
    this.#prepare(method);
    return this.#wrap(method);
  }

  #prepare(method: DecoratedMethod): void {
    for (const advice of method.advices) advice.prepare?.(method, this);
  }

  #wrap(method: DecoratedMethod): Invocation {
    const body: Invocation = (self, args) => method.original.apply(self, args as unknown[]);
    const invocation = [...method.advices]
      .sort((a, b) => b.stage - a.stage)
      .reduce((next, advice) => advice.bind(next, method, this), body);
    this.#invocations[method.slot] = invocation;
    return invocation;
  }
}
