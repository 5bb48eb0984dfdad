import 'reflect-metadata';
import { Inject } from '@nestjs/common';
import { MeshRuntime } from './mesh-runtime.js';
import { MeshConfigError } from './mesh.errors.js';

/** Calls a decorated method, or what stands around it, with its own `this`. */
export type Invocation = (self: object, args: readonly unknown[]) => unknown;

/** Where an advice stands around the method: the lower, the further out. One fixed order, however decorators are stacked. */
export const AdviceStage = { context: -10, fallback: 0, cache: 10, pipeline: 20 } as const;

/** Behaviour that a decorator puts around a method. */
export interface MethodAdvice {
  /** The room's name for it: one method has at most one advice of a kind. */
  readonly kind: string;
  readonly stage: number;
  /** Says what this method adds to the application, before any method that might refer to it is bound. */
  prepare?(method: DecoratedMethod, runtime: MeshRuntime): void;
  /** Wraps `next` for one application. Called once per application, at its start; may throw a {@link MeshConfigError}. */
  bind(next: Invocation, method: DecoratedMethod, runtime: MeshRuntime): Invocation;
}

/** A method under at least one decorator of the mesh. */
export interface DecoratedMethod {
  /** The class that declares the method. */
  readonly owner: { readonly name: string; readonly prototype: object };
  readonly name: string;
  readonly original: (...args: unknown[]) => unknown;
  readonly advices: readonly MethodAdvice[];
  /** Index of this method in each application's table of bound methods. */
  readonly slot: number;
}

/** Injection token of the application's {@link MeshRuntime}. Nest prints the description when MeshModule is missing. */
export const MESH_RUNTIME = Symbol('nestjs-mesh: import MeshModule.forRoot() in the root module');

const RUNTIME = Symbol('nestjs-mesh.runtime');
const METHOD = Symbol('nestjs-mesh.method');

type Trampoline = ((...args: unknown[]) => unknown) & {
  [METHOD]?: DecoratedMethod & { readonly advices: MethodAdvice[] };
};

// Slots only number the decorated methods of the process; what is bound to them is kept per application.
let slots = 0;

/**
 * Puts a late-bound trampoline in the method's place, once, and returns the method's advice of that kind (a new one the
 * first time). Name, length and all metadata of the method stay; without an application the bare method runs.
 */
export function adviseMethod<A extends MethodAdvice>(
  target: object,
  key: string | symbol,
  descriptor: PropertyDescriptor,
  kind: string,
  create: () => A,
): A {
  if (typeof target === 'function' || typeof descriptor?.value !== 'function')
    throw new MeshConfigError(
      `The decorator ${kind} on ${placeOf(target, key)} stands on something that is not a method of instances; move it to one.`,
    );
  const trampoline = toTrampoline(target, key, descriptor);
  const { advices } = trampoline[METHOD]!;
  const existing = advices.find((advice) => advice.kind === kind) as A | undefined;
  if (existing) return existing;
  const advice = create();
  advices.push(advice);
  return advice;
}

/** The decorated methods that objects of this prototype have, inherited ones included. */
export function decoratedMethodsOf(prototype: object | null): DecoratedMethod[] {
  const methods: DecoratedMethod[] = [];
  const seen = new Set<string | symbol>();
  for (let p = prototype; p && p !== Object.prototype; p = Object.getPrototypeOf(p) as object | null) {
    for (const key of Reflect.ownKeys(p)) {
      if (seen.has(key)) continue;
      seen.add(key);
      const method = (Object.getOwnPropertyDescriptor(p, key)?.value as Trampoline | undefined)?.[METHOD];
      if (method) methods.push(method);
    }
  }
  return methods;
}

/** Gives an object that Nest did not construct (a factory's, a value, one made by hand) its application's runtime. */
export function attachRuntime(instance: object, runtime: MeshRuntime): void {
  (instance as { [RUNTIME]?: MeshRuntime })[RUNTIME] = runtime;
}

function placeOf(target: object, key: string | symbol): string {
  const owner = typeof target === 'function' ? target : target.constructor;
  return `${owner.name}.${String(key)}`;
}

function toTrampoline(target: object, key: string | symbol, descriptor: PropertyDescriptor): Trampoline {
  const original = descriptor.value as Trampoline;
  if (original[METHOD]) return original;

  const method = { owner: target.constructor, name: String(key), original, advices: [], slot: slots++ };
  const trampoline: Trampoline = function (this: { [RUNTIME]?: MeshRuntime } | undefined, ...args: unknown[]) {
    const runtime = this?.[RUNTIME];
    return runtime === undefined ? original.apply(this, args) : runtime.invoke(method, this as object, args);
  };
  Object.defineProperty(trampoline, 'name', { value: original.name, configurable: true });
  Object.defineProperty(trampoline, 'length', { value: original.length, configurable: true });
  for (const metadataKey of Reflect.getOwnMetadataKeys(original)) {
    Reflect.defineMetadata(metadataKey, Reflect.getOwnMetadata(metadataKey, original), trampoline);
  }
  trampoline[METHOD] = method;
  descriptor.value = trampoline;
  injectRuntime(target);
  return trampoline;
}

/**
 * Registers the runtime as a property dependency, which Nest sets on every instance that it creates, before any hook.
 * The accessor keeps it out of sight and lets a class freeze itself in its constructor. What a test tool mocks in its
 * place is left alone: the methods of such an object run bare.
 */
function injectRuntime(prototype: object): void {
  if (Object.hasOwn(prototype, RUNTIME)) return;
  const ofFrozen = new WeakMap<object, MeshRuntime>();
  Object.defineProperty(prototype, RUNTIME, {
    configurable: true,
    get(this: object) {
      return ofFrozen.get(this);
    },
    set(this: object, runtime: unknown) {
      if (!(runtime instanceof MeshRuntime)) return;
      if (Object.isExtensible(this))
        Object.defineProperty(this, RUNTIME, { value: runtime, configurable: true, writable: true });
      else ofFrozen.set(this, runtime);
    },
  });
  Inject(MESH_RUNTIME)(prototype, RUNTIME);
}
