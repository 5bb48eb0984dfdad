import type { CacheTtl } from '../core/cache.port.js';
import type { Clock } from '../core/clock.js';
import type { Ids } from '../core/ids.js';
import type { SettingsResolver } from './cache-settings.js';
import type { LogicalClock } from './logical-clock.js';
import type { MemoryEntry, MemoryPartition } from './memory-tier.js';
import { type SharedCollaborators, SharedNamespace, type SharedValue } from './second-tier/shared-namespace.js';
import { TagMarkers } from './tag-markers.js';

export interface StoreCollaborators {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly stamps: LogicalClock;
}

/** A value on its way into the cache. */
export interface Storable {
  readonly value: unknown;
  /** Stamp of the moment its load began, or of the `set`. */
  readonly bornAt: number;
  readonly ttlMs: CacheTtl;
  readonly graceMs: number;
  readonly tags: readonly string[];
}

/** The values of one namespace: how long they live, and what kills them. */
export class NamespaceStore {
  readonly markers = new TagMarkers();
  readonly #shared: SharedNamespace;

  constructor(
    namespace: string,
    private readonly partition: MemoryPartition,
    private readonly settings: SettingsResolver,
    private readonly deps: StoreCollaborators & SharedCollaborators,
  ) {
    this.#shared = new SharedNamespace(namespace, this.markers, deps);
  }

  /** Whether there is a second tier to look into at all. */
  get hasSecondTier(): boolean {
    return this.#shared.open;
  }

  /** The value in memory, fresh or stale; what was deleted by tag or is too old is not there. */
  find(key: string): MemoryEntry | undefined {
    const entry = this.partition.get(key);
    if (entry === undefined) return undefined;
    if (this.deps.clock.monotonic() >= entry.staleUntil || this.#wasDeleted(entry)) {
      this.partition.delete(key);
      return undefined;
    }
    return entry;
  }

  /** Keeps the value, unless a newer one is there or one of its tags was deleted since its load began. */
  put(key: string, { value, bornAt, ttlMs, graceMs, tags }: Storable): void {
    const held = this.partition.entries.get(key);
    if ((held && held.bornAt > bornAt) || this.markers.deletedAt(tags) >= bornAt) return;
    const freshMs = this.#freshFor(value, ttlMs);
    this.#keep(key, { value, bornAt, tags, freshMs, graceMs, ageMs: 0 });
    this.#shared.write(key, { value, bornAt, tags, freshMs, graceMs });
  }

  /** The value that another instance, or this one before, left in the second tier; memory keeps it from now on. */
  async fetch(key: string, accept: (found: SharedValue) => boolean = () => true): Promise<SharedValue | undefined> {
    const found = await this.#shared.read(key);
    if (!found || !accept(found)) return undefined;
    const held = this.partition.entries.get(key);
    // No longer than the namespace's own ttl: what happens to the key elsewhere may not reach this memory.
    const { ttlMs } = this.settings.resolve(undefined);
    const freshMs = Math.min(found.freshMs, ttlMs === 'forever' ? Infinity : ttlMs);
    if (!held || held.bornAt < found.bornAt) this.#keep(key, { ...found, freshMs });
    return found;
  }

  #keep(key: string, { value, bornAt, tags, freshMs, graceMs, ageMs }: SharedValue): void {
    const now = this.deps.clock.monotonic();
    const { eagerRatio } = this.settings.cache;
    const entry = this.partition.set(key, {
      value,
      tags,
      bornAt,
      storedAt: now - ageMs,
      eagerAt: now + (eagerRatio < 1 && freshMs !== Infinity ? freshMs * eagerRatio : freshMs),
      freshUntil: now + freshMs,
      graceMs,
    });
    if (entry) entry.verifiedAt = this.markers.version;
  }

  /** Takes the value's freshness away and leaves it for the grace time. */
  expire(key: string): boolean {
    this.#shared.bury(key, 'expire');
    const entry = this.find(key);
    if (entry === undefined) return false;
    const now = this.deps.clock.monotonic();
    entry.freshUntil = Math.min(entry.freshUntil, now);
    entry.eagerAt = entry.freshUntil;
    entry.retryAt = 0;
    return true;
  }

  delete(key: string): boolean {
    this.#shared.bury(key, 'delete');
    return this.find(key) !== undefined && this.partition.delete(key) !== undefined;
  }

  deleteTags(tags: readonly string[]): void {
    const stamp = this.deps.stamps.next();
    for (const tag of tags) {
      this.markers.mark(tag, stamp);
      this.#shared.mark(tag, stamp);
    }
  }

  clear(): void {
    const stamp = this.deps.stamps.next();
    this.partition.clear();
    this.markers.markAll(stamp);
    this.#shared.markAll(stamp);
  }

  /** No load of the key for a while: the last one failed. */
  backOff(key: string): void {
    const entry = this.find(key);
    if (entry === undefined) return;
    entry.retryAt = this.deps.clock.monotonic() + this.settings.cache.throttleMs;
    entry.eagerAt = Math.min(entry.freshUntil, entry.retryAt);
  }

  #wasDeleted(entry: MemoryEntry): boolean {
    const { version } = this.markers;
    if (entry.verifiedAt === version) return false;
    entry.verifiedAt = version;
    return this.markers.deletedAt(entry.tags) >= entry.bornAt;
  }

  #freshFor(value: unknown, ttlMs: CacheTtl): number {
    const { nullTtlMs, jitterRatio } = this.settings.cache;
    const asked = ttlMs === 'forever' ? Infinity : ttlMs;
    const limited = value === null ? Math.min(asked, nullTtlMs) : asked;
    return limited * (1 + jitterRatio * this.deps.ids.random());
  }
}
