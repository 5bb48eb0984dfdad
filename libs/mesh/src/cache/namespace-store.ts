import type { CacheTtl } from '../core/cache.port.js';
import type { Clock } from '../core/clock.js';
import type { Ids } from '../core/ids.js';
import type { SettingsResolver } from './cache-settings.js';
import type { LogicalClock } from './logical-clock.js';
import type { MemoryEntry, MemoryPartition } from './memory-tier.js';
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

  constructor(
    private readonly partition: MemoryPartition,
    private readonly settings: SettingsResolver,
    private readonly deps: StoreCollaborators,
  ) {}

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
    const now = this.deps.clock.monotonic();
    const freshMs = this.#freshFor(value, ttlMs);
    const { eagerRatio } = this.settings.cache;
    const entry = this.partition.set(key, {
      value,
      tags,
      bornAt,
      storedAt: now,
      eagerAt: now + (eagerRatio < 1 && freshMs !== Infinity ? freshMs * eagerRatio : freshMs),
      freshUntil: now + freshMs,
      graceMs,
    });
    if (entry) entry.verifiedAt = this.markers.version;
  }

  /** Takes the value's freshness away and leaves it for the grace time. */
  expire(key: string): boolean {
    const entry = this.find(key);
    if (entry === undefined) return false;
    const now = this.deps.clock.monotonic();
    entry.freshUntil = Math.min(entry.freshUntil, now);
    entry.eagerAt = entry.freshUntil;
    entry.retryAt = 0;
    return true;
  }

  delete(key: string): boolean {
    return this.find(key) !== undefined && this.partition.delete(key) !== undefined;
  }

  deleteTags(tags: readonly string[]): void {
    const stamp = this.deps.stamps.next();
    for (const tag of tags) this.markers.mark(tag, stamp);
  }

  clear(): void {
    this.partition.clear();
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
