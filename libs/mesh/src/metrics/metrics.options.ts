import { z } from 'zod';
import { DEFAULT_SERIES_LIMIT } from './metrics.constants.js';

export const metricsSchema = z
  .strictObject({
    maxSeriesPerMetric: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(DEFAULT_SERIES_LIMIT)
      .describe('Label sets that one metric may have, 1-1,000,000; further ones are counted in its `__other__` series.')
      .meta({ update: 'live' }),
    processMetrics: z
      .boolean()
      .default(true)
      .describe('Whether CPU, memory, event loop delay, garbage collection and handles of the process are exposed.'),
    includeDefaultRegistry: z
      .boolean()
      .default(true)
      .describe(
        "Whether the metrics of prom-client's process-wide registry, where @willsoto/nestjs-prometheus puts its own, are exposed too.",
      ),
    http: z
      .union([
        z.literal(false),
        z.strictObject({
          path: z
            .string()
            .regex(/^\/[^\s?#]*$/, 'must be an absolute path: it starts with "/" and has no query')
            .default('/metrics')
            .describe('Path of the exposition, without the global prefix.'),
        }),
      ])
      .prefault({})
      .describe('The route that Prometheus scrapes, or false for none.'),
  })
  .describe('Metrics and their exposition.');

export type MetricsOptions = z.infer<typeof metricsSchema>;
