import { z } from 'zod';
import { LOG_LEVELS } from '../core/mesh-control.port.js';
import type { RawRequest } from '../core/raw-route.js';
import { MAX_BODY_BYTES } from './ops.constants.js';
import { OpsBadRequestError } from './ops.errors.js';

/** As long as a timer can wait, 24 days: what is meant for longer belongs in the configuration. */
const ttlMs = z
  .int()
  .min(1)
  .max(2 ** 31 - 1)
  .optional();
const reason = z.string().trim().min(1).max(200);

export const breakerRequest = z.discriminatedUnion('action', [
  z.strictObject({ action: z.enum(['isolate', 'disable']), reason, ttlMs, key: z.string().optional() }),
  z.strictObject({ action: z.enum(['release', 'reset']), key: z.string().optional() }),
]);

export const rollbackRequest = z.strictObject({ generation: z.int().min(1) });

/** `null`: back to what the configuration says. */
export const logLevelRequest = z
  .strictObject({ level: z.enum(LOG_LEVELS).nullable(), ttlMs })
  .refine(({ level, ttlMs: ttl }) => level !== null || ttl === undefined, {
    path: ['ttlMs'],
    error: 'goes with a level only',
  });

export const drainRequest = z.strictObject({ reason: reason.default('drained by an operator') });

export const emptyRequest = z.strictObject({});

/** How an update of the configuration is made, whatever is in it. */
export const updateQuery = z.strictObject({
  dryRun: z.stringbool().optional(),
  expectedGeneration: z.coerce.number().int().min(1).optional(),
  healthWindowMs: z.coerce.number().int().min(0).max(60_000).optional(),
});

export const explainQuery = z.strictObject({ path: z.string().min(1) });

export const eventsQuery = z.strictObject({
  after: z.coerce.number().int().min(0).default(0),
  name: z.string().optional(),
});

/** @throws {OpsBadRequestError} with everything that is wrong. */
export function parse<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new OpsBadRequestError(
    result.error.issues.map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`)),
  );
}

export function parseQuery<S extends z.ZodType>(schema: S, query: URLSearchParams): z.output<S> {
  return parse(schema, Object.fromEntries(query));
}

/** @throws {OpsBadRequestError} when the body is too long or no JSON. Nothing at all is an empty object. */
export async function readJson(request: RawRequest): Promise<unknown> {
  const text = await request.readBody?.(MAX_BODY_BYTES);
  if (request.readBody && text === undefined)
    throw new OpsBadRequestError([`The body is longer than ${MAX_BODY_BYTES} bytes.`], 413);
  if (text === undefined || text.trim() === '') return {};
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // The parser's own message quotes the text, which may hold a secret.
    throw new OpsBadRequestError(['The body is not valid JSON.']);
  }
}
