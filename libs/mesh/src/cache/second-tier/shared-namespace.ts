import { createHash } from 'node:crypto';
import { z } from 'zod';
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

export interface WriteCallbacks {
  /** The second tier has it. */
  onWritten(): void;
  /** It will not get there: it can't be encoded, the store refused it, or the queue was full. */
  onDrop(): void;
}

/** What stands before the encoded value. Instants in epoch ms. */
const headerSchema = z.object({
  born: z.number(),
  stored: z.number(),
  fresh: z.number(),
  keep: z.number(),
  tags: z.array(z.string()).readonly(),
});
type Header = Readonly<z.infer<typeof headerSchema>>;

/** What a deleted or expired key leaves behind, so that a load which began earlier elsewhere can't bring it back. */
const tombstoneSchema = z.object({ at: z.number(), kind: z.enum(['delete', 'expire']) });
type Tombstone = Readonly<z.infer<typeof tombstoneSchema>>;

const markSchema = z.union([z.number(), tombstoneSchema]);

/** How far the clocks of two instances may be apart where a mark's life is compared with a value's, in milliseconds. */
const MAX_SKEW_MS = 60_000;

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

  /** Writes in the background. */
  write(
    key: string,
    { value, bornAt, tags, freshMs, graceMs }: Omit<SharedValue, 'ageMs'>,
    callbacks?: WriteCallbacks,
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
      callbacks?.onDrop();
      return;
    }
    // Not later than the mark of a deletion that this value was too slow for.
    const waitMs = Math.min(ttlMs, bornAt + TOMBSTONE_TTL_MS - now);
    const expiresAt = this.deps.clock.monotonic() + waitMs;
    const outlivesMark = header.keep > bornAt + TOMBSTONE_TTL_MS - MAX_SKEW_MS;
    const unless = { key: this.#key('d', key), holds: (grave: string) => isDeletedBy(grave, bornAt) };
    tier.write({
      key: this.#key('k', key),
      text,
      ttlMs,
      kind: 'value',
      expiresAt,
      ...(outlivesMark && { unless }),
      ...callbacks,
    });
  }

  bury(key: string, tombstone: Tombstone, onWritten?: () => void): void {
    const ttlMs = tombstone.kind === 'delete' ? TOMBSTONE_TTL_MS : MARKER_TTL_MS;
    this.#invalidate(this.#key('d', key), JSON.stringify(tombstone), ttlMs, tombstone.at, onWritten);
  }

  /** The value that was to take the place of the one deleted at the stamp does not get there. */
  giveUp(key: string, stamp: number): void {
    const tier = this.deps.secondTier();
    const mark = tier?.pending(this.#key('d', key));
    // The mark that still waits can do it: it outlives every value then, and takes no more room than before.
    if (mark && isLater(mark.text ?? '', stamp)) tier?.write({ ...mark, ttlMs: MARKER_TTL_MS });
    else this.remove(key, stamp);
  }

  /** Takes away a value that was deleted at the stamp: it may have longer to live than the mark. */
  remove(key: string, stamp: number): void {
    this.#invalidate(this.#key('k', key), undefined, 0, stamp);
  }

  mark(tag: string, stamp: number): void {
    this.#invalidate(this.#key('t', tag), `${stamp}`, MARKER_TTL_MS, stamp);
  }

  markAll(stamp: number): void {
    const key = this.#key('c', '');
    // What was dropped may be older than a clear() that waits.
    const at = Math.max(stamp, stampOf(this.deps.secondTier()?.pending(key)?.text ?? '') ?? 0);
    this.deps.secondTier()?.write({
      key,
      text: `${at}`,
      ttlMs: MARKER_TTL_MS,
      kind: 'clear',
      expiresAt: this.deps.clock.monotonic() + MARKER_TTL_MS,
      unless: { key, holds: (text) => isLater(text, at) },
    });
  }

  #invalidate(key: string, text: string | undefined, ttlMs: number, stamp: number, onWritten?: () => void): void {
    this.deps.secondTier()?.write({
      key,
      text,
      ttlMs,
      kind: 'invalidation',
      expiresAt: this.deps.clock.monotonic() + MARKER_TTL_MS,
      ...(text !== undefined && { unless: { key, holds: (held: string) => isLater(held, stamp) } }),
      ...(onWritten && { onWritten }),
      // One invalidation too many to remember: then everything older than it has to go.
      onDrop: () => this.markAll(stamp),
    });
  }

  /** The value, unless it is too old or was deleted. */
  async read(key: string): Promise<SharedValue | undefined> {
    const tier = this.deps.secondTier();
    const keys = [this.#key('k', key), this.#key('d', key), this.#key('c', '')] as const;
    const found = await tier?.read(async (read) => {
      const [stored, grave, cleared] = await read(keys);
      // What is on its way there counts already.
      const [queued, queuedGrave, queuedClear] = keys.map((name) => tier.pending(name));
      const text = queued ? queued.text : stored;
      if (text === undefined) return undefined;
      const header = parsed(headerSchema, text.slice(0, text.indexOf('\n')));
      if (header) await this.#learnMarks(read, header.tags, [cleared, queuedClear?.text]);
      return { header, text, graves: [queuedGrave?.text, grave] };
    });
    if (!tier || !found) return undefined;
    const { header, text, graves } = found;
    const tombstone = latest(graves);
    if (header) return this.#judge(tier, header, text, tombstone);
    tier.metrics.undecodable.inc();
    return undefined;
  }

  /** Deletions of tags and of the whole namespace that happened elsewhere. */
  async #learnMarks(
    read: SecondTierStore['read'],
    tags: readonly string[],
    clears: readonly (string | undefined)[],
  ): Promise<void> {
    const stamps = tags.length > 0 ? await read(tags.map((tag) => this.#key('t', tag))) : [];
    for (const cleared of clears) this.#note(cleared, (stamp) => this.markers.markAll(stamp));
    tags.forEach((tag, i) => this.#note(stamps[i], (stamp) => this.markers.mark(tag, stamp)));
  }

  #note(text: string | undefined, mark: (stamp: number) => void): void {
    const stamp = stampOf(text ?? '');
    if (stamp === undefined) return;
    this.deps.stamps.observe(stamp);
    mark(stamp);
  }

  #judge(tier: SecondTier, header: Header, text: string, tombstone: Tombstone | undefined): SharedValue | undefined {
    const now = this.deps.clock.now();
    if (tombstone) this.deps.stamps.observe(tombstone.at);
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
    // A colon of its own would let one namespace spell the keys of another.
    const name = this.name.replaceAll('%', '%25').replaceAll(':', '%3A');
    return `${this.deps.keyPrefix()}:${name}:${kind}:${spelled}`;
  }
}

/** The stamp of a mark: of a key, a tag or a namespace. */
function stampOf(mark: string): number | undefined {
  const content = parsed(markSchema, mark);
  return typeof content === 'object' ? content.at : content;
}

function isLater(mark: string, stamp: number): boolean {
  return (stampOf(mark) ?? 0) >= stamp;
}

function isDeletedBy(grave: string, bornAt: number): boolean {
  return parsed(tombstoneSchema, grave)?.kind === 'delete' && isLater(grave, bornAt);
}

function latest(graves: readonly (string | undefined)[]): Tombstone | undefined {
  const tombstones = graves.map((grave) => parsed(tombstoneSchema, grave ?? ''));
  return tombstones.reduce((a, b) => ((b?.at ?? 0) > (a?.at ?? 0) ? b : a), undefined);
}

/** What another program wrote there is nothing, and no failure of the store. */
function parsed<T>(schema: z.ZodType<T>, json: string): T | undefined {
  try {
    return schema.safeParse(JSON.parse(json)).data;
  } catch {
    return undefined;
  }
}
