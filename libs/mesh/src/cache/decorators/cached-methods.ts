import type { DecoratedMethod } from '../../core/method-advice.js';
import { CacheKeyError } from '../cache.errors.js';
import { argumentKey, UnkeyableError } from './argument-key.js';

/** Default keys of one application's cached methods. */
export class CachedMethods {
  readonly #owners = new Map<string, object>();

  /**
   * `Class.method(arguments)`, by the class of the object and not of the declaration, so that two classes that inherit
   * one method never share values.
   * @throws {CacheKeyError} when an argument has no key, or another class of the same name caches such a method.
   */
  keyOf(method: DecoratedMethod, self: object, args: readonly unknown[]): string {
    const name = this.#nameOf(method, self);
    try {
      return `${name}(${argumentKey(args)})`;
    } catch (error) {
      if (!(error instanceof UnkeyableError)) throw error;
      throw new CacheKeyError(name, `${error.message}. Give the decorator a key: (…) => string.`);
    }
  }

  #nameOf(method: DecoratedMethod, self: object): string {
    const type = self.constructor;
    const name = `${type.name}.${method.name}`;
    const owner = this.#owners.get(name);
    if (owner === type) return name;
    if (type.name === '') throw new CacheKeyError(name, 'its class has no name. Give the decorator a key.');
    if (owner !== undefined)
      throw new CacheKeyError(name, `another class is called ${type.name} too. Give one of the decorators a key.`);
    this.#owners.set(name, type);
    return name;
  }
}
