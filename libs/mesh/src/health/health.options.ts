import { z } from 'zod';

const everyMs = z.int().min(100).max(3_600_000);
const timeoutMs = z.int().min(10).max(60_000);
const membership = z.record(
  z.string().min(1),
  z.enum(['required', 'optional']).describe('Whether it takes the group down with it, or only degrades it.'),
);
const path = z.string().regex(/^\/[^\s?#]*$/, 'must be an absolute path: it starts with "/" and has no query');

/** How one contributor is treated; what code asks for is held to the same limits. */
export const contributorSchema = z.strictObject({
  groups: membership.optional().describe('The groups it counts in, and how; replaces what the code says.'),
  everyMs: everyMs.optional().describe('How often it is checked, in milliseconds.'),
  timeoutMs: timeoutMs.optional().describe('How long its check may take, in milliseconds.'),
  weight: z.number().min(0).max(1_000).optional().describe('Share in the score for people, 0 to 1,000.'),
});

export const healthSchema = z
  .strictObject({
    everyMs: everyMs.default(10_000).describe('How often contributors are checked, in milliseconds, 100 to 3,600,000.'),
    jitterRatio: z.number().min(0).max(0.5).default(0.1).describe('How far an interval may differ, 0 to 0.5 of it.'),
    timeoutMs: timeoutMs.default(1_000).describe('How long a check may take, in milliseconds, 10 to 60,000.'),
    failuresToDown: z.int().min(1).max(100).default(3).describe('Failed checks in a row until down, 1 to 100.'),
    successesToUp: z.int().min(1).max(100).default(1).describe('Good checks in a row until no longer down, 1 to 100.'),
    staleAfterIntervals: z
      .int()
      .min(1)
      .max(100)
      .default(3)
      .describe('Intervals without a result until the state counts as unknown, 1 to 100.'),
    maxEventLoopLagMs: z
      .int()
      .min(1_000)
      .max(600_000)
      .default(10_000)
      .describe('Event-loop lag from which the process is no longer live, in milliseconds, 1,000 to 600,000.'),
    details: z
      .enum(['never', 'always'])
      .default('never')
      .describe('Who sees more than the status on the probe routes: nobody or everybody.'),
    http: z
      .union([
        z.literal(false),
        z.strictObject({
          paths: z
            .object({
              live: path.default('/health/live').describe('Path of `live`.'),
              ready: path.default('/health/ready').describe('Path of `ready`.'),
              startup: path.default('/health/startup').describe('Path of `startup`.'),
            })
            .catchall(path)
            .prefault({})
            .describe('Path of each group, without the global prefix; further keys are groups of your own.'),
        }),
      ])
      .prefault({})
      .describe('The probe routes, or false for none.')
      .meta({ update: 'restart' }),
    contributors: z
      .record(z.string(), contributorSchema)
      .default({})
      .describe(
        'Settings by contributor name, above what the code says; "breaker:<policy>" for circuit breakers, which are in no group by default.',
      ),
  })
  .meta({ update: 'live' });

/** The health room's validated options. */
export type HealthOptions = z.output<typeof healthSchema>;
