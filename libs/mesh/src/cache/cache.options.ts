import { z } from 'zod';
import { CACHE_DEFAULTS as D, SECOND_TIER_DEFAULTS as S } from './cache.constants.js';
import type { CacheCodec } from './second-tier/cache-codec.js';
import type { KeyvLike } from './second-tier/keyv.adapter.js';

const ms = (minimum: number) => z.number().int().min(minimum).max(86_400_000);
const ttl = z.union([z.number().int().min(1), z.literal('forever')]);

/** What may differ from one namespace to the next. */
const behaviour = {
  ttlMs: ttl.describe('How long a value stays fresh, in ms (at least 1), or "forever".').meta({ update: 'live' }),
  graceMs: ms(0)
    .describe('How long an expired value is kept to be served while a load is slow or fails, in ms (0-86400000).')
    .meta({ update: 'live' }),
  softTimeoutMs: ms(0)
    .describe('How long a caller waits for a load while a stale value is at hand, in ms (0-86400000); 0: not at all.')
    .meta({ update: 'live' }),
  hardTimeoutMs: ms(1)
    .describe('How long a load may take before its callers get an error, in ms (1-86400000).')
    .meta({ update: 'live' }),
};

const secondTierSchema = z.strictObject({
  readTimeoutMs: ms(1)
    .default(S.readTimeoutMs)
    .describe('How long a read waits for the second tier, in ms (1-86400000).')
    .meta({ update: 'live' }),
  writeTimeoutMs: ms(1)
    .default(S.writeTimeoutMs)
    .describe('How long a background write may take, in ms (1-86400000).')
    .meta({ update: 'live' }),
  probeMs: ms(10)
    .default(S.probeMs)
    .describe('How often an absent second tier is asked whether it is back, in ms (10-86400000).')
    .meta({ update: 'live' }),
  retryMs: ms(10)
    .default(S.retryMs)
    .describe('How long after a failed write the next one is tried, in ms (10-86400000).')
    .meta({ update: 'live' }),
  maxQueuedEntries: z
    .number()
    .int()
    .min(1)
    .default(S.maxQueuedEntries)
    .describe('How many writes wait for the second tier at most (at least 1).')
    .meta({ update: 'live' }),
  maxQueuedBytes: z
    .number()
    .int()
    .min(1_024)
    .default(S.maxQueuedBytes)
    .describe('How many bytes of writes wait for the second tier at most (at least 1024).')
    .meta({ update: 'live' }),
  required: z
    .boolean()
    .default(false)
    .describe(
      'Whether the application starts only if the second tier answers within 4500 ms; afterwards nothing differs.',
    ),
  prefix: z
    .string()
    .regex(/^[^:\s]+$/, 'no colon and no space')
    .optional()
    .describe("First part of every key in the second tier, without colon or space; the service's name if left out."),
  schemaVersion: z
    .number()
    .int()
    .min(1)
    .default(1)
    .describe('Part of every key in the second tier: raise it when the shape of cached values changes (at least 1).'),
});

/** The `cache` section of the configuration. */
export const cacheSchema = z
  .strictObject({
    ttlMs: behaviour.ttlMs.default(D.ttlMs),
    graceMs: behaviour.graceMs.default(D.graceMs),
    softTimeoutMs: behaviour.softTimeoutMs.default(D.softTimeoutMs),
    hardTimeoutMs: behaviour.hardTimeoutMs.default(D.hardTimeoutMs),
    throttleMs: ms(0)
      .default(D.throttleMs)
      .describe('How long after a failed load a stale value is served without another try, in ms (0-86400000).')
      .meta({ update: 'live' }),
    jitterRatio: z
      .number()
      .min(0)
      .max(1)
      .default(D.jitterRatio)
      .describe('Share of the ttl that is added at random, so that values do not expire together (0-1).')
      .meta({ update: 'live' }),
    eagerRatio: z
      .number()
      .min(0.1)
      .max(1)
      .default(D.eagerRatio)
      .describe('Share of the ttl after which a read renews the value in the background (0.1-1); 1: never.')
      .meta({ update: 'live' }),
    nullTtlMs: ms(1)
      .default(D.nullTtlMs)
      .describe('Upper limit of the ttl of null, in ms (1-86400000).')
      .meta({ update: 'live' }),
    maxEntries: z
      .number()
      .int()
      .min(1)
      .max(10_000_000)
      .default(D.maxEntries)
      .describe('How many values memory holds (1-10000000); the least recently used go first.')
      .meta({ update: 'live' }),
    maxBytes: z
      .number()
      .int()
      .min(1_024)
      .default(D.maxBytes)
      .describe('How many bytes, by estimate, the values in memory may take (at least 1024).')
      .meta({ update: 'live' }),
    sweepMs: ms(100)
      .default(D.sweepMs)
      .describe('How often expired values are dropped from memory, in ms (100-86400000).')
      .meta({ update: 'live' }),
    redis: z
      .strictObject({
        url: z
          .string()
          .regex(/^rediss?:\/\//, 'must begin with redis:// or rediss://')
          .describe('Where Redis is: redis://[user:password@]host[:port][/db], or rediss:// for TLS.')
          .meta({ secret: true }),
      })
      .optional()
      .describe('Redis as the second tier; needs the package @keyv/redis.')
      .meta({ update: 'swap' }),
    store: z
      .custom<KeyvLike>(isKeyvLike, 'must be a store of Keyv 5: an object with get, set and delete')
      .optional()
      .describe('Any store of Keyv 5 as the second tier, from code.')
      .meta({ update: 'swap' }),
    codec: z
      .custom<CacheCodec>(isCodec, 'must be an object with encode and decode')
      .optional()
      .describe(
        'How values are written to the second tier, from code; JSON that keeps Date, Map and the like if left out.',
      ),
    invalidation: z
      .enum(['broker', 'off'])
      .default('broker')
      .describe('Whether deletions are told to the other instances: over the message broker, or not at all.'),
    secondTier: secondTierSchema.prefault({}).describe('How the second tier is used.'),
    namespaces: z
      .record(
        z.string().min(1),
        z.strictObject({
          ttlMs: behaviour.ttlMs.optional(),
          graceMs: behaviour.graceMs.optional(),
          softTimeoutMs: behaviour.softTimeoutMs.optional(),
          hardTimeoutMs: behaviour.hardTimeoutMs.optional(),
        }),
      )
      .default({})
      .describe('Overrides for single namespaces, by name; they win over what the code asks of namespace().')
      .meta({ update: 'live' }),
  })
  .refine(({ redis, store }) => !(redis && store), {
    error: 'there is one second tier: give redis or store',
    path: ['store'],
  })
  .refine(({ redis, store, secondTier }) => redis || store || !secondTier.required, {
    error: 'there is no second tier to require: give redis or store',
    path: ['secondTier', 'required'],
  });

export type CacheOptions = z.infer<typeof cacheSchema>;

function has(value: unknown, ...methods: readonly string[]): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    methods.every((name) => typeof Reflect.get(value, name) === 'function')
  );
}

function isKeyvLike(value: unknown): boolean {
  return has(value, 'get', 'set', 'delete');
}

function isCodec(value: unknown): boolean {
  return has(value, 'encode', 'decode');
}
