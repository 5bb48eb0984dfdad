/** Defaults of the cache. Times in milliseconds. */
export const CACHE_DEFAULTS = {
  ttlMs: 30_000,
  jitterRatio: 0.1,
  graceMs: 300_000,
  throttleMs: 10_000,
  softTimeoutMs: 100,
  hardTimeoutMs: 10_000,
  eagerRatio: 0.8,
  nullTtlMs: 5_000,
  maxEntries: 10_000,
  maxBytes: 64 * 1_024 * 1_024,
  sweepMs: 30_000,
} as const;

/** Defaults of the second tier. Times in milliseconds. */
export const SECOND_TIER_DEFAULTS = {
  readTimeoutMs: 100,
  writeTimeoutMs: 1_000,
  probeMs: 1_000,
  retryMs: 2_000,
  maxQueuedEntries: 10_000,
  maxQueuedBytes: 16 * 1_024 * 1_024,
} as const;

/** How long a start waits for a required second tier, in milliseconds: less than 5 s, so that it has failed by then. */
export const REQUIRED_TIER_TIMEOUT_MS = 4_500;

/** How long the second tier remembers that a tag was deleted or a namespace cleared; no value lives longer in it. */
export const MARKER_TTL_MS = 10 * 86_400_000;

/** How long the second tier remembers that a key was deleted; no value is written to it that was loaded longer ago. */
export const TOMBSTONE_TTL_MS = 3_600_000;

/** The longest wait that a timer can do, in milliseconds: a longer one it would end at once. */
export const LONGEST_WAIT_MS = 2 ** 31 - 1;

/** How many keys `getMany` asks the second tier for at a time. */
export const READ_BATCH = 100;

/** How many entries one sweep looks at, so that it never holds up the event loop. */
export const SWEEP_BATCH = 10_000;

/** How many tags' deletions are remembered one by one, in each namespace. */
export const MAX_TAG_MARKERS = 10_000;

/** The name that metrics, keys of the second tier and errors use for the cache outside any namespace. */
export const ROOT_NAMESPACE = 'default';

/** Invalidations of this many milliseconds, or this many of them, go out as one message. */
export const BUS_BATCH_MS = 5;
export const BUS_BATCH_SIZE = 200;

/** How many invalidations wait while one message is on its way; beyond that the others are told that they missed something. */
export const BUS_MAX_PENDING = 10_000;

/** How long one message may take to leave, in milliseconds. */
export const BUS_PUBLISH_TIMEOUT_MS = 1_000;

/** How long a value in memory stays fresh while deletions of other instances can't be heard, in milliseconds. */
export const BUS_AWAY_TTL_MS = 5_000;

/** How often an instance that has sent something repeats where its sequence stands. */
export const BUS_HEARTBEAT_MS = 5_000;

/** How many other instances are kept track of. */
export const MAX_PEERS = 1_000;
