/** Nest calls these on every instance that it knows. The part itself is one of them, so that they are not passed on. */
const NEST_HOOKS: ReadonlySet<PropertyKey> = new Set([
  'onModuleInit',
  'onApplicationBootstrap',
  'onModuleDestroy',
  'beforeApplicationShutdown',
  'onApplicationShutdown',
]);

type AnyFunction = (...args: unknown[]) => unknown;

/**
 * One object in the place of another that may change: who holds `face` always talks to the part in force, also through a
 * method that was taken from it earlier. It has every method and property of the part, those of the part's own class
 * included, and is an instance of the port.
 */
export class StandIn<T extends object> {
  readonly face: T;
  readonly #methods = new Map<PropertyKey, { call: AnyFunction }>();
  #part: T;

  /** `own`: methods of the port that the stand-in answers itself. */
  constructor(
    port: { readonly prototype: object },
    part: T,
    private readonly own: Partial<T> = {},
  ) {
    this.face = Object.create(port.prototype as object) as T;
    this.#part = part;
    this.#show(part);
    Object.assign(this.face, own);
  }

  get part(): T {
    return this.#part;
  }

  switchTo(part: T): void {
    const keys = keysOf(part);
    for (const key of keysOf(this.#part)) {
      if (keys.has(key) || Object.hasOwn(this.own, key)) continue;
      Reflect.deleteProperty(this.face, key);
      this.#methods.delete(key);
    }
    this.#part = part;
    this.#show(part);
  }

  #show(part: T): void {
    for (const key of keysOf(part)) {
      if (Object.hasOwn(this.own, key)) continue;
      const method = methodOf(part, key);
      if (method) this.#forward(key, method.bind(part));
      else
        Object.defineProperty(this.face, key, {
          configurable: true,
          enumerable: true,
          get: () => Reflect.get(part, key),
          set: (value) => {
            Reflect.set(part, key, value);
          },
        });
    }
  }

  /** One function for each name, also when the part is another one: what somebody put around it stays around it. */
  #forward(key: PropertyKey, call: AnyFunction): void {
    const known = this.#methods.get(key);
    if (known) {
      known.call = call;
      return;
    }
    const target = { call };
    this.#methods.set(key, target);
    Object.defineProperty(this.face, key, {
      configurable: true,
      enumerable: true,
      writable: true,
      value: (...args: unknown[]) => target.call(...args),
    });
  }
}

/** What the part has: its own, and its classes', without what every object has. */
function keysOf(part: object): Set<PropertyKey> {
  const keys = new Set<PropertyKey>();
  for (
    let owner: object | null = part;
    owner && owner !== Object.prototype;
    owner = Reflect.getPrototypeOf(owner) // oxlint-disable-line unicorn/no-null -- it ends with null
  )
    for (const key of Reflect.ownKeys(owner)) if (key !== 'constructor' && !NEST_HOOKS.has(key)) keys.add(key);
  return keys;
}

/** The function under `key`, unless it is an accessor, which may answer differently each time. */
function methodOf(part: object, key: PropertyKey): AnyFunction | undefined {
  for (let owner: object | null = part; owner; owner = Reflect.getPrototypeOf(owner)) {
    const descriptor = Reflect.getOwnPropertyDescriptor(owner, key);
    if (descriptor) return typeof descriptor.value === 'function' ? (descriptor.value as AnyFunction) : undefined;
  }
  return undefined;
}
