import {
  CacheClient,
  type CacheDefaults,
  type CacheFactory,
  type CacheGetOrSetOptions,
  type CacheLookup,
  type CacheSetOptions,
  type CacheStats,
} from '../core/cache.port.js';
import type { LiveOptions } from '../core/live-options.js';
import type { MetricsClient } from '../core/metrics.port.js';
import { CacheLoader, type LoaderCollaborators } from './cache-loader.js';
import { SettingsResolver } from './cache-settings.js';
import { READ_BATCH, ROOT_NAMESPACE } from './cache.constants.js';
import { CacheUsageError } from './cache.errors.js';
import { CacheMetrics } from './cache.metrics.js';
import type { CacheOptions } from './cache.options.js';
import type { Invalidation } from './invalidation/invalidation.message.js';
import type { MemoryPartition, MemoryTier } from './memory-tier.js';
import { NamespaceStore, type PeerCollaborators } from './namespace-store.js';
import type { SharedCollaborators } from './second-tier/shared-namespace.js';
import { checkedName, checkTimes } from './usage-checks.js';

/** What all namespaces of one cache share. */
export interface CacheCore extends LoaderCollaborators, SharedCollaborators, PeerCollaborators {
  readonly options: LiveOptions<CacheOptions>;
  readonly metrics: MetricsClient;
  readonly memory: MemoryTier;
  readonly namespaces: Map<string, CacheNamespace>;
}

/** One namespace of the cache; the one named "default" is the cache itself. */
export class CacheNamespace extends CacheClient {
  readonly #core: CacheCore;
  readonly #metrics: CacheMetrics;
  readonly #partition: MemoryPartition;
  readonly #store: NamespaceStore;
  readonly #loader: CacheLoader;
  readonly #settings: SettingsResolver;

  constructor(
    core: CacheCore,
    readonly namespaceName: string,
    private readonly defaults?: CacheDefaults,
  ) {
    super();
    this.#core = core;
    this.#metrics = new CacheMetrics(core.metrics, namespaceName);
    this.#partition = core.memory.partition((reason) => this.#metrics.evictions[reason].inc());
    this.#settings = new SettingsResolver(namespaceName, defaults, core.options);
    this.#store = new NamespaceStore(namespaceName, this.#partition, this.#settings, core);
    this.#loader = new CacheLoader(namespaceName, this.#store, this.#settings, this.#metrics, core);
    core.namespaces.set(namespaceName, this);
  }

  override getOrSet<T>(key: string, factory: CacheFactory<T>, options?: CacheGetOrSetOptions): Promise<T> {
    // The way of a plain hit: no settings, no loads, nothing allocated but the promise.
    const entry = this.#partition.get(key);
    if (
      entry !== undefined &&
      entry.verifiedAt === this.#store.markers.version &&
      this.#core.clock.monotonic() < entry.eagerAt &&
      options?.mode === undefined
    ) {
      this.#metrics.hit();
      return Promise.resolve(entry.value as T);
    }
    return this.#loader.load(key, factory as CacheFactory<unknown>, options) as Promise<T>;
  }

  override get<T>(key: string): Promise<T | undefined> {
    return this.#get(key, this.#store.hasSecondTier);
  }

  async #get<T>(key: string, mayAsk: boolean): Promise<T | undefined> {
    const entry = this.#store.find(checkedName('key', key));
    if (entry && this.#core.clock.monotonic() < entry.freshUntil) {
      this.#metrics.hit();
      return entry.value as T;
    }
    const found = mayAsk ? await this.#store.fetch(key) : undefined;
    if (found && found.freshMs > 0) {
      this.#metrics.hitSecondTier();
      return found.value as T;
    }
    this.#metrics.miss();
    return undefined;
  }

  override async entry<T>(key: string): Promise<CacheLookup<T>> {
    const entry = this.#store.find(checkedName('key', key));
    const now = this.#core.clock.monotonic();
    if (!entry) {
      const found = this.#store.hasSecondTier ? await this.#store.fetch(key) : undefined;
      if (!found) return { found: false };
      const { value, freshMs, ageMs } = found;
      return { found: true, value: value as T, state: freshMs > 0 ? 'fresh' : 'stale', ageMs, freshMs, tier: 'second' };
    }
    return {
      found: true,
      value: entry.value as T,
      state: now < entry.freshUntil ? 'fresh' : 'stale',
      ageMs: now - entry.storedAt,
      freshMs: entry.freshUntil - now,
      tier: 'memory',
    };
  }

  override async set<T>(key: string, value: T, options?: CacheSetOptions): Promise<void> {
    checkedName('key', key);
    if (value === undefined)
      throw new CacheUsageError(
        'undefined is not a value that a cache keeps: it would look like a miss. Use null, or delete the key.',
      );
    const { ttlMs, graceMs } = this.#settings.resolve(options);
    const tags = (options?.tags ?? []).map((tag) => checkedName('tag', tag));
    this.#loader.forget(key);
    this.#store.set(key, { value, tags, ttlMs, graceMs });
    await this.#store.room();
  }

  override async getMany<T>(keys: readonly string[]): Promise<Map<string, T>> {
    const { clock, options } = this.#core;
    const found = new Map<string, T>();
    let mayAsk = this.#store.hasSecondTier;
    // All at once, thousands of reads would time out, and be taken for a second tier that is away.
    for (let from = 0; from < keys.length; from += READ_BATCH) {
      const batch = keys.slice(from, from + READ_BATCH);
      const startedAt = clock.monotonic();
      const values = await Promise.all(batch.map((key) => this.#get<T>(key, mayAsk)));
      batch.forEach((key, i) => values[i] !== undefined && found.set(key, values[i]));
      // One bounded wait, and not one for each batch.
      if (clock.monotonic() - startedAt >= options.current.secondTier.readTimeoutMs) mayAsk = false;
    }
    return found;
  }

  override async setMany<T>(entries: Iterable<readonly [string, T]>, options?: CacheSetOptions): Promise<void> {
    // One after the other, so that many wait for the second tier instead of overflowing its queue.
    for (const [key, value] of entries) await this.set(key, value, options);
  }

  override async expire(key: string): Promise<boolean> {
    this.#loader.forget(checkedName('key', key));
    return this.#store.expire(key);
  }

  override async delete(key: string): Promise<boolean> {
    this.#loader.forget(checkedName('key', key));
    const existed = this.#store.delete(key);
    await this.#store.room();
    return existed;
  }

  override async deleteMany(keys: readonly string[]): Promise<number> {
    const deleted = await Promise.all(keys.map((key) => this.delete(key)));
    return deleted.filter(Boolean).length;
  }

  override async deleteByTag(...tags: readonly string[]): Promise<void> {
    this.#store.deleteTags(tags.map((tag) => checkedName('tag', tag)));
  }

  override async clear(): Promise<void> {
    this.#loader.forgetAll();
    this.#store.clear();
  }

  /** Does in memory what another instance did. */
  applyInvalidation(change: Invalidation): void {
    if (change.op === 'clear') this.#loader.forgetAll();
    else if (change.op !== 'tag') this.#loader.forget(change.key);
    this.#store.apply(change);
  }

  /** Ends what only renews values in the background. */
  stopRenewing(): void {
    this.#loader.stopRenewing();
  }

  /** The second tier has not seen what this instance deleted for a while. */
  distrustSecondTier(): void {
    this.#store.distrustSecondTier();
  }

  /** An invalidation of another instance may have been missed. */
  distrustAll(): void {
    this.#loader.forgetAll();
    this.#store.distrustAll();
  }

  /** What other instances delete is not heard for the time being. */
  limitFreshness(maxFreshMs: number): void {
    this.#store.limitFreshness(maxFreshMs);
  }

  override namespace(name: string, defaults?: CacheDefaults): CacheNamespace {
    checkedName('namespace', name);
    const full = this.namespaceName === ROOT_NAMESPACE ? name : `${this.namespaceName}.${name}`;
    const existing = this.#core.namespaces.get(full);
    if (defaults) checkTimes(`cache "${full}"`, defaults);
    if (!existing) return new CacheNamespace(this.#core, full, defaults);
    if (defaults && !sameDefaults(defaults, existing.defaults))
      throw new CacheUsageError(
        `The cache namespace "${full}" already exists with other defaults; declare them in one place, or configure cache.namespaces.`,
      );
    return existing;
  }

  override stats(): CacheStats {
    const { hits, misses, stale, loads, loadFailures, coalesced } = this.#metrics;
    const { entries, bytes, evictions } = this.#partition;
    return { hits, misses, stale, loads, loadFailures, coalesced, entries: entries.size, bytes, evictions };
  }
}

function sameDefaults(a: CacheDefaults, b: CacheDefaults = {}): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof CacheDefaults>;
  return [...keys].every((key) => a[key] === b[key]);
}
