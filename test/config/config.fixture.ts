import { z } from 'zod';
import { loadConfig, type LoadConfigOptions } from '../../libs/mesh/src/config/config.loader.js';
import { isMeshError } from '../../libs/mesh/src/core/mesh.error.js';

const policy = z
  .strictObject({
    timeoutMs: z.int().min(1).max(60_000).optional().describe('Limit of one attempt, in milliseconds.'),
    totalTimeoutMs: z.int().min(1).optional(),
    backoff: z.enum(['constant', 'linear', 'exponential']).optional(),
    retry: z.strictObject({ maxRetries: z.int().min(0).default(2) }).prefault({}),
    fallback: z.custom<() => string>((value) => typeof value === 'function').optional(),
    isFailure: z
      .custom<() => boolean>((value) => typeof value === 'function')
      .optional()
      .describe('A function of the error that says whether it counts as a failure.'),
  })
  .refine((options) => !((options.timeoutMs ?? 0) > (options.totalTimeoutMs ?? Infinity)), {
    path: ['timeoutMs'],
    message: 'must not be more than totalTimeoutMs',
  });

/** Options of every kind: nested, by name, in unions, a secret, a function, an object that is left as it is. */
const schema = z.strictObject({
  service: z.strictObject({ name: z.string().min(1), version: z.string().optional() }),
  resilience: z
    .strictObject({
      defaults: z.strictObject({ timeoutMs: z.int().min(1).default(3_000) }).prefault({}),
      policies: z.record(z.string(), policy).default({}),
    })
    .prefault({}),
  cache: z
    .union([
      z.literal(false),
      z.strictObject({
        ttlMs: z.int().min(1).default(30_000),
        client: z.unknown().optional(),
        redis: z
          .strictObject({
            url: z.url({ protocol: /^rediss?$/ }),
            password: z.string().min(8).meta({ secret: true }).optional(),
          })
          .optional(),
      }),
    ])
    .prefault({}),
  broker: z
    .discriminatedUnion('transport', [
      z.strictObject({ transport: z.literal('in-process') }),
      z.strictObject({ transport: z.literal('nats'), servers: z.array(z.string()).min(1) }),
    ])
    .prefault({ transport: 'in-process' }),
  metrics: z.strictObject({ enabled: z.boolean().default(true) }).prefault({}),
});

/** The least that is valid. */
export const service = { name: 'orders' };

/** Loads a configuration of the example schema. */
export function load(
  value: unknown,
  env: Record<string, string> = {},
  more: Partial<LoadConfigOptions<typeof schema>> = {},
) {
  return loadConfig({ schema, value, env, ...more });
}

/** What a refused configuration is told. */
export async function refusalOf(loading: Promise<unknown>): Promise<string> {
  try {
    await loading;
  } catch (error) {
    if (isMeshError(error, 'MESH_CONFIG_INVALID')) return error.message;
    throw error;
  }
  throw new Error('The configuration was accepted.');
}
