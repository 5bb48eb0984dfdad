import { createHash } from 'node:crypto';
import type { Clock } from '../../core/clock.js';
import { MARKER_TTL_MS, TOMBSTONE_TTL_MS } from '../cache.constants.js';
import type { LogicalClock } from '../logical-clock.js';
import type { TagMarkers } from '../tag-markers.js';
import type { CacheCodec } from './cache-codec.js';
import type { SecondTier } from './second-tier.js';
import type { SecondTierStore } from './second-tier.store.js';

export interface SharedCollaborators {
  readonly clock: Clock;
  readonly stamps: LogicalClock;
  /** The second tier, while there is one in use. */
  readonly secondTier: () => SecondTier | undefined;
  readonly codec: () => CacheCodec;
  /** First part of every key: the application and the version of its values. */
  readonly keyPrefix: () => string;
}

/** A value with what is left of its life. */
export interface SharedValue {
  readonly value: unknown;
  readonly bornAt: number;
  readonly tags: readonly string[];
  /** Milliseconds that it stays fresh; not above zero once it is stale. */
  readonly freshMs: number;
  /** Milliseconds that it is kept after its freshness. */
  readonly graceMs: number;
  /** Milliseconds since it was stored. */
  readonly ageMs: number;
}

/** What stands before the encoded value. Instants in epoch ms. */
interface Header {
  readonly born: number;
  readonly stored: number;
  readonly fresh: number;
  readonly keep: number;
  readonly tags: readonly string[];
}

/** What a deleted or expired key leaves behind, so that a load which began earlier elsewhere can't bring it back. */
interface Tombstone {
  readonly at: number;
  readonly kind: 'delete' | 'expire';
}

/** Longer keys, and those that no store could spell, go in as a digest. */
const MAX_KEY_LENGTH = 300;

/**
 * One namespace in the second tier. Nothing in it is ever searched or deleted: deletions are stamps - on a key, a tag, or
 * the namespace - and what was born before them is not read any more and runs out by itself.
 */
export class SharedNamespace {
  constructor(
    private readonly name: string,
    private readonly markers: TagMarkers,
    private readonly deps: SharedCollaborators,
  ) {}

  get open(): boolean {
    return this.deps.secondTier() !== undefined;
  }

  /** Writes in the background; `onWritten` is called when the second tier has it. */
  write(
    key: string,
    { value, bornAt, tags, freshMs, graceMs }: Omit<SharedValue, 'ageMs'>,
    onWritten?: () => void,
  ): void {
    const tier = this.deps.secondTier();
    if (!tier) return;
    const now = this.deps.clock.now();
    const ttlMs = Math.min(freshMs + graceMs, MARKER_TTL_MS);
    const header: Header = {
      born: bornAt,
      stored: now,
      fresh: now + Math.min(freshMs, MARKER_TTL_MS),
      keep: now + ttlMs,
      tags,
    };
    let text: string;
    try {
      text = `${JSON.stringify(header)}\n${this.deps.codec().encode(value)}`;
    } catch {
      // It stays in memory; that it can't travel is no reason to fail the call that made it.
      tier.metrics.unencodable.inc();
      return;
    }
    const expiresAt = this.deps.clock.monotonic() + Math.min(ttlMs, TOMBSTONE_TTL_MS);
    tier.write({ key: this.#key('k', key), text, ttlMs, kind: 'value', expiresAt, ...(onWritten && { onWritten }) });
  }

  bury(key: string, tombstone: Tombstone, onWritten: () => void): void {
    this.#invalidate(this.#key('d', key), JSON.stringify(tombstone), TOMBSTONE_TTL_MS, tombstone.at, onWritten);
  }

  mark(tag: string, stamp: number): void {
    this.#invalidate(this.#key('t', tag), `${stamp}`, MARKER_TTL_MS, stamp);
  }

  markAll(stamp: number): void {
    const expiresAt = this.deps.clock.monotonic() + MARKER_TTL_MS;
    this.deps
      .secondTier()
      ?.write({ key: this.#key('c', ''), text: `${stamp}`, ttlMs: MARKER_TTL_MS, kind: 'invalidation', expiresAt });
  }

  #invalidate(key: string, text: string, ttlMs: number, stamp: number, onWritten: () => void = () => undefined): void {
    const expiresAt = this.deps.clock.monotonic() + ttlMs;
    // One invalidation too many to remember: then everything older than it has to go.
    const onDrop = (): void => this.markAll(stamp);
    this.deps.secondTier()?.write({ key, text, ttlMs, kind: 'invalidation', expiresAt, onWritten, onDrop });
  }

  /** The value, unless it is too old or was deleted. */
  async read(key: string): Promise<SharedValue | undefined> {
    const tier = this.deps.secondTier();
    const keys = [this.#key('k', key), this.#key('d', key), this.#key('c', '')] as const;
    const found = await tier?.read(async (read) => {
      const [stored, grave, cleared] = await read(keys);
      const text = tier.pending(keys[0]) ?? stored;
      if (text === undefined) return undefined;
      const header = parsed<Header>(text.slice(0, text.indexOf('\n')));
      if (header) await this.#learnMarks(read, header.tags, cleared);
      return { header, text, grave: tier.pending(keys[1]) ?? grave };
    });
    if (!tier || !found) return undefined;
    const { header, text, grave } = found;
    const tombstone = grave === undefined ? undefined : parsed<Tombstone>(grave);
    if (header) return this.#judge(tier, header, text, tombstone);
    tier.metrics.undecodable.inc();
    return undefined;
  }

  /** Deletions of tags and of the whole namespace that happened elsewhere. */
  async #learnMarks(
    read: SecondTierStore['read'],
    tags: readonly string[],
    cleared: string | undefined,
  ): Promise<void> {
    const stamps = tags.length > 0 ? await read(tags.map((tag) => this.#key('t', tag))) : [];
    this.#note(cleared, (stamp) => this.markers.markAll(stamp));
    tags.forEach((tag, i) => this.#note(stamps[i], (stamp) => this.markers.mark(tag, stamp)));
  }

  #note(text: string | undefined, mark: (stamp: number) => void): void {
    const stamp = Number(text ?? Number.NaN);
    if (!Number.isFinite(stamp)) return;
    this.deps.stamps.observe(stamp);
    mark(stamp);
  }

  #judge(tier: SecondTier, header: Header, text: string, tombstone: Tombstone | undefined): SharedValue | undefined {
    const now = this.deps.clock.now();
    const buried = tombstone !== undefined && tombstone.at >= header.born;
    if (now >= header.keep || (buried && tombstone.kind === 'delete')) return undefined;
    if (this.markers.deletedAt(header.tags) >= header.born) return undefined;
    this.deps.stamps.observe(header.born);
    const fresh = buried ? Math.min(header.fresh, now) : header.fresh;
    try {
      return {
        value: this.deps.codec().decode(text.slice(text.indexOf('\n') + 1)),
        bornAt: header.born,
        tags: header.tags,
        freshMs: fresh - now,
        graceMs: header.keep - fresh,
        ageMs: now - header.stored,
      };
    } catch {
      // Written by another version, or by somebody else: as good as nothing, and overwritten by the next load.
      tier.metrics.undecodable.inc();
      return undefined;
    }
  }

  #key(kind: 'k' | 'd' | 't' | 'c', key: string): string {
    const spelled =
      key.length <= MAX_KEY_LENGTH && key.isWellFormed()
        ? `=${key}`
        : `#${createHash('sha256').update(Buffer.from(key, 'utf16le')).digest('base64url')}`;
    return `${this.deps.keyPrefix()}:${this.name}:${kind}:${spelled}`;
  }
}

/** What another program wrote there is nothing, and no failure of the store. */
function parsed<T>(json: string): T | undefined {
  try {
    return JSON.parse(json) as T;
  } catch {
    return undefined;
  }
}
