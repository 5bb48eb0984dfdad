import { z } from 'zod';
import { brokerOptionsSchema } from './broker/broker.options.js';
import { cacheSchema } from './cache/cache.options.js';
import { healthSchema } from './health/health.options.js';
import { lifecycleSchema } from './lifecycle/lifecycle.options.js';
import { loggingSchema } from './logging/logging.options.js';
import { metricsSchema } from './metrics/metrics.options.js';
import { opsSchema } from './ops/ops.options.js';
import { resilienceSchema } from './resilience/resilience.options.js';

const serviceSchema = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]*$/i, 'letters, digits, dots, dashes and underscores, such as "orders"')
      .describe('Name of the service, the same in all its instances.'),
    version: z.string().min(1).optional().describe('Version of the service, for logs and `mesh_build_info`.'),
    instance: z.string().min(1).optional().describe('Name of this instance; the host name and process id if left out.'),
  })
  .describe('Who this service is.');

/** The whole configuration: each room's own part, under its room's name. */
export const meshSchema = z.strictObject({
  service: serviceSchema,
  lifecycle: lifecycleSchema.prefault({}),
  resilience: resilienceSchema.prefault({}),
  cache: cacheSchema.prefault({}),
  broker: brokerOptionsSchema.prefault({}),
  health: healthSchema.prefault({}),
  metrics: metricsSchema.prefault({}),
  logging: loggingSchema.prefault({}),
  ops: opsSchema.prefault({}),
});

/** What `MeshModule.forRoot` and the factory of `forRootAsync` take. Only `service.name` is required. */
export interface MeshOptions extends z.input<typeof meshSchema> {}

/** The validated configuration with its defaults. */
export type MeshConfig = z.output<typeof meshSchema>;

const BESIDE = 'pass it in the second argument of forRoot or forRootAsync, where Nest can still see it';

/** What people put into the options although Nest needs it before they are known. */
export const misplacedOptions = {
  components: BESIDE,
  additionalComponents: BESIDE,
  isGlobal: BESIDE,
  imports: BESIDE,
  healthDetails: BESIDE,
  errorFilter: BESIDE,
  opsGuard: BESIDE,
} as const;
