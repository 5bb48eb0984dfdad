import { Cache, CACHE_MANAGER, type CacheManagerOptions } from '@nestjs/cache-manager';
import type { Provider } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';
import { createCache } from 'cache-manager';
import { Keyv, type KeyvStoreAdapter, type StoredData } from 'keyv';
import { MeshConfigError } from '../core/mesh.errors.js';
import { CacheClient } from '../core/cache.port.js';

/** The namespace that `CACHE_MANAGER` reads and writes. */
export const CACHE_MANAGER_NAMESPACE = 'cache-manager';

/**
 * Options for `CacheModule.registerAsync` that put the mesh's cache behind `CACHE_MANAGER`: what is injected by that
 * token gets the bounds, timeouts and numbers of this one. A ttl that nobody gives means what it means there: until
 * evicted.
 * @throws {MeshConfigError} when the installed Keyv is not of major version 5.
 */
export function cacheModuleOptions(cache: CacheClient): CacheManagerOptions {
  const keyv = new Keyv(new MeshKeyvStore(cache.namespace(CACHE_MANAGER_NAMESPACE)), { useKeyPrefix: false });
  // Values stay objects: they are not sent anywhere, and Keyv's JSON would cost ten times the hit.
  keyv.serialize = undefined;
  keyv.deserialize = undefined;
  refuseKeyv6([keyv]);
  return { stores: [keyv] };
}

/**
 * `CACHE_MANAGER` and `Cache` over the application's {@link CacheClient}. Not CacheModule itself, which would disconnect
 * its store while requests still run, and could inject the cache only from a global module.
 */
export const cacheManagerProviders: Provider[] = [
  {
    provide: CACHE_MANAGER,
    inject: [CacheClient],
    useFactory: (cache: CacheClient) => createCache(cacheModuleOptions(cache) as Parameters<typeof createCache>[0]),
  },
  { provide: Cache, useExisting: CACHE_MANAGER },
];

/** What {@link cacheManagerProviders} provide. */
export const cacheManagerTokens = [CACHE_MANAGER, Cache];

/**
 * Refuses stores of Keyv 6, with which cache-manager 7 never has a hit and says nothing.
 * @throws {MeshConfigError} naming what to install.
 */
export function refuseKeyv6(stores: readonly unknown[]): void {
  for (const store of stores) {
    if (!isKeyv(store)) continue;
    // CacheModule does not know what it was given and wraps it: look inside as well.
    if ('opts' in store) refuseKeyv6([(store.opts as { store?: unknown } | undefined)?.store]);
    else
      throw new MeshConfigError(
        'A store of Keyv 6 can not work with cache-manager 7: wrap() would run its function at every call. Install Keyv 5: npm i "keyv@>=5.6 <6" @keyv/redis@5',
      );
  }
}

/**
 * Looks at every `CACHE_MANAGER` of the application, those of a CacheModule that the host brought included.
 * @throws {MeshConfigError} when one of them stands on Keyv 6.
 */
export function refuseKeyv6In(modules: ModulesContainer): void {
  for (const { providers } of modules.values()) {
    const manager = providers.get(CACHE_MANAGER)?.instance as { readonly stores?: unknown } | null | undefined;
    if (Array.isArray(manager?.stores)) refuseKeyv6(manager.stores);
  }
}

/** Both majors name their class so and have these methods; only 5 keeps its options in `opts`. */
function isKeyv(store: unknown): store is object {
  const { constructor, getMany, setMany } = (store ?? {}) as { [name: string]: unknown } & object;
  return (
    typeof constructor === 'function' &&
    constructor.name === 'Keyv' &&
    typeof getMany === 'function' &&
    typeof setMany === 'function'
  );
}

/** A namespace of the mesh's cache as a store of Keyv. */
class MeshKeyvStore implements KeyvStoreAdapter {
  readonly opts = {};
  namespace?: string | undefined;

  constructor(private readonly cache: CacheClient) {}

  get<Value>(key: string): Promise<StoredData<Value> | undefined> {
    return this.cache.get<StoredData<Value>>(key);
  }

  async getMany<Value>(keys: string[]): Promise<StoredData<Value | undefined>[]> {
    const found = await this.cache.getMany<StoredData<Value>>(keys);
    return keys.map((key) => found.get(key)) as StoredData<Value | undefined>[];
  }

  async set(key: string, value: unknown, ttlMs = Infinity): Promise<boolean> {
    // A negative ttl is how cache-manager's users say "not at all".
    if (ttlMs < 0) return this.delete(key);
    await this.cache.set(key, value, { ttlMs: ttlMs === Infinity ? 'forever' : Math.max(1, ttlMs), graceMs: 0 });
    return true;
  }

  delete(key: string): Promise<boolean> {
    return this.cache.delete(key);
  }

  async deleteMany(keys: string[]): Promise<boolean> {
    await this.cache.deleteMany(keys);
    return true;
  }

  clear(): Promise<void> {
    return this.cache.clear();
  }

  async has(key: string): Promise<boolean> {
    const lookup = await this.cache.entry(key);
    return lookup.found && lookup.state === 'fresh';
  }

  on(): this {
    return this;
  }

  /** CacheModule disconnects its stores while HTTP requests still run: the mesh closes its cache itself, later. */
  async disconnect(): Promise<void> {}
}
