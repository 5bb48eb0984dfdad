import { z } from 'zod';
import { CACHE_DEFAULTS as D } from './cache.constants.js';

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

/** The `cache` section of the configuration. */
export const cacheSchema = z.strictObject({
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
});

export type CacheOptions = z.infer<typeof cacheSchema>;
