import { estimateBytes } from './value-size.js';

export interface MemoryLimits {
  readonly maxEntries: number;
  readonly maxBytes: number;
}

export type EvictionReason = 'entries' | 'bytes' | 'expired';

/** What is known of a value when it is stored. Instants of the monotonic clock unless said otherwise. */
export interface NewEntry {
  readonly value: unknown;
  readonly tags: readonly string[];
  /** Logical stamp of the moment that its load began. */
  readonly bornAt: number;
  readonly storedAt: number;
  /** From here on a read renews the value in the background. */
  readonly eagerAt: number;
  readonly freshUntil: number;
  /** How long it is kept after that, in milliseconds. */
  readonly graceMs: number;
}

/** A value in memory, and its place in the order of use. */
export class MemoryEntry {
  readonly value: unknown;
  readonly tags: readonly string[];
  readonly bornAt: number;
  readonly storedAt: number;
  eagerAt: number;
  freshUntil: number;
  readonly graceMs: number;
  readonly bytes: number;
  /** No load before this instant: the last one failed. */
  retryAt = 0;
  /** An invalidation may have been missed: not fresh any more, unless the second tier still has it. */
  distrusted = false;
  /** The version of the tag markers that it was last compared with. */
  verifiedAt = -1;
  /** Neighbours in the order of use; both undefined once it was removed. */
  older: MemoryEntry | undefined;
  newer: MemoryEntry | undefined;

  constructor(
    readonly partition: MemoryPartition,
    readonly key: string,
    entry: NewEntry,
  ) {
    this.value = entry.value;
    this.tags = entry.tags;
    this.bornAt = entry.bornAt;
    this.storedAt = entry.storedAt;
    this.eagerAt = entry.eagerAt;
    this.freshUntil = entry.freshUntil;
    this.graceMs = entry.graceMs;
    this.bytes = estimateBytes(entry.value) + 2 * key.length + 200;
  }

  /** Until when it may be served at all. */
  get staleUntil(): number {
    return this.freshUntil + this.graceMs;
  }
}

/** The keys of one namespace in memory. */
export class MemoryPartition {
  readonly entries = new Map<string, MemoryEntry>();
  evictions = 0;
  bytes = 0;

  constructor(
    private readonly tier: MemoryTier,
    readonly onEvict: (reason: EvictionReason) => void,
  ) {}

  /** The entry, without any judgement of its age; it becomes the most recently used. */
  get(key: string): MemoryEntry | undefined {
    const entry = this.entries.get(key);
    if (entry !== undefined) this.tier.touch(entry);
    return entry;
  }

  set(key: string, entry: NewEntry): MemoryEntry | undefined {
    this.delete(key);
    return this.tier.add(new MemoryEntry(this, key, entry));
  }

  delete(key: string): MemoryEntry | undefined {
    const entry = this.entries.get(key);
    if (entry !== undefined) this.tier.remove(entry);
    return entry;
  }

  clear(): void {
    for (const entry of this.entries.values()) this.tier.remove(entry);
  }
}

/**
 * The first tier: every namespace's values under one bound of entries and one of estimated bytes, least recently used
 * first out. The order of use is a list through the entries themselves, so that a hit moves four pointers and leaves the
 * maps alone.
 */
export class MemoryTier {
  #oldest: MemoryEntry | undefined;
  #newest: MemoryEntry | undefined;
  #entries = 0;
  #bytes = 0;

  constructor(private readonly limits: () => MemoryLimits) {}

  get entries(): number {
    return this.#entries;
  }

  get bytes(): number {
    return this.#bytes;
  }

  partition(onEvict: (reason: EvictionReason) => void = () => undefined): MemoryPartition {
    return new MemoryPartition(this, onEvict);
  }

  /** Adds an entry as the most recently used and makes room for it. A value larger than the whole bound is not kept. */
  add(entry: MemoryEntry): MemoryEntry | undefined {
    if (entry.bytes > this.limits().maxBytes) {
      this.#count(entry, 'bytes');
      return undefined;
    }
    entry.partition.entries.set(entry.key, entry);
    entry.partition.bytes += entry.bytes;
    this.#entries++;
    this.#bytes += entry.bytes;
    this.#append(entry);
    this.trim();
    return entry;
  }

  touch(entry: MemoryEntry): void {
    if (entry === this.#newest) return;
    this.#unlink(entry);
    this.#append(entry);
  }

  remove(entry: MemoryEntry): void {
    if (entry.partition.entries.get(entry.key) !== entry) return;
    entry.partition.entries.delete(entry.key);
    entry.partition.bytes -= entry.bytes;
    this.#entries--;
    this.#bytes -= entry.bytes;
    this.#unlink(entry);
  }

  /** Evicts until both bounds hold. */
  trim(): void {
    const { maxEntries, maxBytes } = this.limits();
    while (this.#oldest && (this.#entries > maxEntries || this.#bytes > maxBytes))
      this.#evict(this.#oldest, this.#entries > maxEntries ? 'entries' : 'bytes');
  }

  /** Drops what nobody may be served any more, looking at the `batch` least recently used entries. */
  sweep(now: number, batch: number): void {
    let entry = this.#oldest;
    for (let seen = 0; entry && seen < batch; seen++) {
      const { newer } = entry;
      if (now >= entry.staleUntil) this.#evict(entry, 'expired');
      entry = newer;
    }
  }

  #evict(entry: MemoryEntry, reason: EvictionReason): void {
    this.remove(entry);
    this.#count(entry, reason);
  }

  #count(entry: MemoryEntry, reason: EvictionReason): void {
    entry.partition.evictions++;
    entry.partition.onEvict(reason);
  }

  #append(entry: MemoryEntry): void {
    entry.older = this.#newest;
    entry.newer = undefined;
    if (this.#newest) this.#newest.newer = entry;
    else this.#oldest = entry;
    this.#newest = entry;
  }

  #unlink(entry: MemoryEntry): void {
    if (entry.older) entry.older.newer = entry.newer;
    else this.#oldest = entry.newer;
    if (entry.newer) entry.newer.older = entry.older;
    else this.#newest = entry.older;
    entry.older = undefined;
    entry.newer = undefined;
  }
}
