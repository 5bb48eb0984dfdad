import { z } from 'zod';
import { DEFAULT_REPEAT_WINDOW_MS } from './logging.constants.js';

/** The switch that many look for here is an argument of `MeshModule.forRoot`. */
function notAnObject({ input }: { readonly input?: unknown }): string | undefined {
  if (typeof input !== 'boolean') return undefined;
  return 'must be an object; logs are switched off apart from the options: MeshModule.forRoot(options, { logging: false })';
}

export const loggingSchema = z
  .strictObject(
    {
      level: z
        .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
        .default('info')
        .describe('Lines below this level are not written.')
        .meta({ update: 'live' }),
      repeatWindowMs: z
        .int()
        .min(0)
        .max(3_600_000)
        .default(DEFAULT_REPEAT_WINDOW_MS)
        .describe(
          'How long, in milliseconds, an event that repeats is counted instead of written again, 0-3,600,000; 0 writes every event.',
        )
        .meta({ update: 'live' }),
      accessLog: z
        .boolean()
        .default(true)
        .describe('Whether a line is written for each HTTP request: info, and error from status 500.')
        .meta({ update: 'live' }),
      redact: z
        .array(z.string().min(1).max(100))
        .default([])
        .describe(
          'Names of further fields whose values are never written, at any depth, whatever their case; passwords, tokens, cookies and the like always are.',
        ),
      adoptNestLogger: z
        .boolean()
        .default(true)
        .describe(
          "Whether Nest's own lines and those of `new Logger()` are written as JSON too, unless the application set a logger.",
        ),
    },
    { error: notAnObject },
  )
  .describe('Log lines.');

export type LoggingOptions = z.infer<typeof loggingSchema>;
