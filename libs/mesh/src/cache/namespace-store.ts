import type { CacheTtl } from '../core/cache.port.js';
import type { Clock } from '../core/clock.js';
import type { Ids } from '../core/ids.js';
import type { SettingsResolver } from './cache-settings.js';
import type { Invalidation } from './invalidation/invalidation.message.js';
import type { LogicalClock } from './logical-clock.js';
import type { MemoryEntry, MemoryPartition } from './memory-tier.js';
import {
  type SharedCollaborators,
  SharedNamespace,
  type SharedValue,
  type WriteCallbacks,
} from './second-tier/shared-namespace.js';
import { TagMarkers } from './tag-markers.js';

export interface StoreCollaborators {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly stamps: LogicalClock;
}

/** The other instances, where there are any. */
export interface PeerCollaborators {
  announce(change: Invalidation): void;
  /** How long a value may stay fresh in memory: little while what others delete can't be heard. */
  maxFreshMs(): number;
}

/** A value on its way into the cache. */
export interface Storable {
  readonly value: unknown;
  /** Stamp of the moment its load began, or of the `set`. */
  readonly bornAt: number;
  readonly ttlMs: CacheTtl;
  /** Where jitter ends. @default Infinity */
  readonly maxFreshMs?: number;
  readonly graceMs: number;
  readonly tags: readonly string[];
}

/** A read of the second tier, and everybody who waits for it. */
interface Fetch {
  readonly found: Promise<SharedValue | undefined>;
  /** The key was written or deleted after it began: memory must not keep what it brings. */
  obsolete: boolean;
}

/** The values of one namespace: how long they live, and what kills them. */
export class NamespaceStore {
  readonly markers = new TagMarkers();
  readonly #shared: SharedNamespace;
  readonly #fetches = new Map<string, Fetch>();

  constructor(
    private readonly namespace: string,
    private readonly partition: MemoryPartition,
    private readonly settings: SettingsResolver,
    private readonly deps: StoreCollaborators & SharedCollaborators & PeerCollaborators,
  ) {
    this.#shared = new SharedNamespace(namespace, this.markers, deps);
  }

  /** Whether there is a second tier to look into at all. */
  get hasSecondTier(): boolean {
    return this.#shared.open;
  }

  /** Whether there is so much to write that the writer has to wait for the second tier; bounded as a read. */
  room(): Promise<void> | undefined {
    return this.deps.secondTier()?.room();
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

  /** Keeps what a load brought, unless a newer value is there or one of its tags was deleted since the load began. */
  put(key: string, storable: Storable): void {
    this.#put(key, storable);
  }

  /** Keeps what somebody said is the value now, and tells the other instances that theirs is old. */
  set(key: string, value: Omit<Storable, 'bornAt'>): void {
    this.#abandonFetch(key);
    const at = this.deps.stamps.next();
    const storable = { ...value, bornAt: this.deps.stamps.next() };
    const change = { op: 'expire', namespace: this.namespace, key, at: storable.bornAt } as const;
    // First the value, so that nobody finds nothing in between; then what keeps loads that began earlier from its place.
    this.#put(key, storable, {
      onWritten: () => this.deps.announce(change),
      onDrop: () => this.#shared.giveUp(key, at),
    });
    this.#shared.bury(key, { at, kind: 'delete' });
    this.deps.announce(change);
  }

  /** The value that another instance, or this one before, left in the second tier; memory keeps it from now on. */
  async fetch(key: string, accept: (found: SharedValue) => boolean = () => true): Promise<SharedValue | undefined> {
    const fetch = this.#fetches.get(key) ?? this.#beginFetch(key);
    const found = await fetch.found;
    if (!found || !accept(found)) return undefined;
    const held = this.partition.entries.get(key);
    // No longer than the namespace's own ttl: what happens to the key elsewhere may not reach this memory.
    const { ttlMs } = this.settings.resolve(undefined);
    const freshMs = Math.min(found.freshMs, ttlMs === 'forever' ? Infinity : ttlMs);
    if (!fetch.obsolete && found.bornAt > newestOf(held)) this.#keep(key, { ...found, freshMs });
    return found;
  }

  /** Takes the value's freshness away and leaves it for the grace time. */
  expire(key: string): boolean {
    const entry = this.find(key);
    this.#invalidate(key, 'expire');
    if (entry) this.#makeStale(entry);
    return entry !== undefined;
  }

  delete(key: string): boolean {
    const existed = this.find(key) !== undefined;
    this.#invalidate(key, 'delete');
    this.partition.delete(key);
    return existed;
  }

  deleteTags(tags: readonly string[]): void {
    const { namespace } = this;
    const at = this.deps.stamps.next();
    for (const tag of tags) {
      this.markers.mark(tag, at);
      this.#shared.mark(tag, at);
      this.deps.announce({ op: 'tag', namespace, tag, at });
    }
  }

  /** The second tier may lack deletions of ours: what it holds by now counts no more. */
  distrustSecondTier(): void {
    this.#shared.markAll(this.deps.stamps.next());
  }

  clear(): void {
    const at = this.deps.stamps.next();
    this.partition.clear();
    this.markers.markAll(at);
    this.#shared.markAll(at);
    this.deps.announce({ op: 'clear', namespace: this.namespace, at });
  }

  /**
   * Does in memory what another instance did. What is here by now goes, whatever its stamp: the other's clock may be
   * behind. Only the very value that the message tells of may stay.
   */
  apply(change: Invalidation): void {
    this.deps.stamps.observe(change.at);
    const now = this.deps.stamps.next();
    if (change.op === 'tag') return this.markers.mark(change.tag, now);
    if (change.op === 'clear') return this.markers.markAll(now);
    this.#abandonFetch(change.key);
    const entry = this.partition.entries.get(change.key);
    if (!entry || (change.op === 'expire' && entry.bornAt === change.at)) return;
    if (change.op === 'delete') this.partition.delete(change.key);
    else this.#makeStale(entry);
  }

  /** Takes nothing in memory for fresh any more: an invalidation may have been missed. */
  distrustAll(): void {
    for (const fetch of this.#fetches.values()) fetch.obsolete = true;
    this.#fetches.clear();
    for (const entry of this.partition.entries.values()) {
      this.#makeStale(entry);
      entry.distrusted = true;
    }
  }

  /** Takes nothing in memory for fresh for longer than that: invalidations are not heard for the time being. */
  limitFreshness(maxFreshMs: number): void {
    const until = this.deps.clock.monotonic() + maxFreshMs;
    for (const entry of this.partition.entries.values()) {
      entry.freshUntil = Math.min(entry.freshUntil, until);
      entry.eagerAt = Math.min(entry.eagerAt, until);
      entry.distrusted = true;
    }
  }

  /** No load of the key for a while: the last one failed. */
  backOff(key: string): void {
    const entry = this.find(key);
    if (entry === undefined) return;
    entry.retryAt = this.deps.clock.monotonic() + this.settings.cache.throttleMs;
    entry.eagerAt = Math.min(entry.freshUntil, entry.retryAt);
  }

  #put(key: string, storable: Storable, callbacks?: WriteCallbacks): void {
    const { value, bornAt, graceMs, tags } = storable;
    const held = this.partition.entries.get(key);
    if ((held && held.bornAt > bornAt) || this.markers.deletedAt(tags) >= bornAt) return;
    const freshMs = this.#freshFor(storable);
    this.#keep(key, { value, bornAt, tags, freshMs, graceMs, ageMs: 0 });
    this.#shared.write(key, { value, bornAt, tags, freshMs, graceMs }, callbacks);
  }

  #keep(key: string, { value, bornAt, tags, freshMs: mayBeFreshMs, graceMs, ageMs }: SharedValue): void {
    const now = this.deps.clock.monotonic();
    const { eagerRatio } = this.settings.cache;
    const maxFreshMs = this.deps.maxFreshMs();
    const freshMs = Math.min(mayBeFreshMs, maxFreshMs);
    const entry = this.partition.set(key, {
      value,
      tags,
      bornAt,
      storedAt: now - ageMs,
      eagerAt: now + (eagerRatio < 1 && freshMs !== Infinity ? freshMs * eagerRatio : freshMs),
      freshUntil: now + freshMs,
      graceMs,
    });
    if (!entry) return;
    entry.verifiedAt = this.markers.version;
    entry.distrusted = maxFreshMs !== Infinity;
  }

  /** Told twice: at once for the others' memories, and again when the second tier can't give them the old value any more. */
  #invalidate(key: string, op: 'delete' | 'expire'): void {
    this.#abandonFetch(key);
    const change = { op, namespace: this.namespace, key, at: this.deps.stamps.next() };
    this.#shared.bury(key, { at: change.at, kind: op }, () => this.deps.announce(change));
    if (op === 'delete') this.#shared.remove(key, change.at);
    this.deps.announce(change);
  }

  #makeStale(entry: MemoryEntry): void {
    entry.freshUntil = Math.min(entry.freshUntil, this.deps.clock.monotonic());
    entry.eagerAt = entry.freshUntil;
    entry.retryAt = 0;
  }

  #beginFetch(key: string): Fetch {
    const fetch: Fetch = { found: this.#shared.read(key), obsolete: false };
    this.#fetches.set(key, fetch);
    void fetch.found.finally(() => this.#fetches.get(key) === fetch && this.#fetches.delete(key));
    return fetch;
  }

  #abandonFetch(key: string): void {
    const fetch = this.#fetches.get(key);
    if (!fetch) return;
    fetch.obsolete = true;
    this.#fetches.delete(key);
  }

  #wasDeleted(entry: MemoryEntry): boolean {
    const { version } = this.markers;
    if (entry.verifiedAt === version) return false;
    entry.verifiedAt = version;
    return this.markers.deletedAt(entry.tags) >= entry.bornAt;
  }

  #freshFor({ value, ttlMs, maxFreshMs = Infinity }: Storable): number {
    const { nullTtlMs, jitterRatio } = this.settings.cache;
    const asked = ttlMs === 'forever' ? Infinity : ttlMs;
    const jittered = asked * (1 + jitterRatio * this.deps.ids.random());
    return Math.min(jittered, maxFreshMs, value === null ? nullTtlMs : Infinity);
  }
}

/** What the second tier has must be younger than this to be of use; of a value that is only distrusted the same will do. */
export function newestOf(held: MemoryEntry | undefined): number {
  if (!held) return 0;
  return held.distrusted ? held.bornAt - 1 : held.bornAt;
}
