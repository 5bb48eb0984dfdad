import { z } from 'zod';

const token = z.string().min(16).max(512).optional().meta({ secret: true, update: 'live' });

export const opsSchema = z
  .strictObject({
    enabled: z
      .boolean()
      .optional()
      .describe("Whether the operators' endpoints are there. Left out: unless NODE_ENV is production."),
    path: z
      .string()
      .regex(/^(\/[\w.~-]+)+$/, 'must be an absolute path such as "/mesh", without a slash at its end')
      .default('/mesh')
      .describe('Where the endpoints begin, without the global prefix.'),
    port: z
      .union([z.literal(false), z.int().min(0).max(65_535)])
      .default(false)
      .describe(
        "A port of its own for these endpoints, the probes and /metrics, 0-65,535 (0: any free one); false: the application's port.",
      ),
    host: z
      .string()
      .min(1)
      .default('127.0.0.1')
      .describe(
        'Address that the own port listens on. Probes from outside, such as those of Kubernetes, need 0.0.0.0.',
      ),
    tokens: z
      .strictObject({
        read: token.describe(
          'Bearer token for reading, 16-512 characters. With it, or with `write`, nobody reads without one.',
        ),
        write: token.describe(
          'Bearer token for reading and changing, 16-512 characters. Without it nobody changes anything.',
        ),
      })
      .prefault({})
      .describe('Who may use the endpoints. Without any token: reading, from this machine only.'),
  })
  .describe("Operators' endpoints, and the port that they may share with probes and metrics.");

/** The ops room's validated options. */
export type OpsOptions = z.output<typeof opsSchema>;
