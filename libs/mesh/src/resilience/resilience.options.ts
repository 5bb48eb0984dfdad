import { z } from 'zod';
import { PolicyResolver } from './policy-resolver.js';
import { MAX_DURATION_MS, SHARE_POLL_MS, OFF_BY_DEFAULT, POLICY_DEFAULTS as D } from './resilience.constants.js';

const durationMs = z.number().positive().max(MAX_DURATION_MS);
const waitMs = z.number().nonnegative().max(MAX_DURATION_MS);
const count = z.number().int().positive();
const ratio = z.number().positive().max(1);
const share = z.number().min(0).max(1);

const retryBudgetSchema = z.strictObject({
  ratio: z.number().min(0).max(10).optional().describe('Retries per call of the last 10 s, 0-10.'),
  minPerSecond: z.number().min(0).max(10_000).optional().describe('Retries a second that are always allowed.'),
});

const retrySchema = z.strictObject({
  maxRetries: z.number().int().min(1).max(100).optional().describe('Attempts after the first one, 1-100.'),
  backoff: z.enum(['exponential', 'linear', 'constant']).optional().describe('How the delay grows with each retry.'),
  delayMs: waitMs.optional().describe('Delay before the first retry, in milliseconds, before jitter.'),
  maxDelayMs: waitMs.optional().describe('No delay is longer, in milliseconds.'),
  jitter: z
    .enum(['full', 'equal', 'none'])
    .optional()
    .describe('`full`: anything up to the delay; `equal`: its upper half.'),
  maxRetryAfterMs: waitMs
    .optional()
    .describe('A callee that asks for a longer wait than this is not retried, in milliseconds.'),
  budget: z
    .union([z.literal(false), retryBudgetSchema])
    .optional()
    .describe('Limits retries and hedges to a share of the calls, so that they cannot multiply an outage.'),
});

const circuitBreakerSchema = z.strictObject({
  failureRatio: ratio.optional().describe('Opens at this share of failures and above, above 0 up to 1.'),
  minimumCalls: count.optional().describe('Calls in the window below which it never opens.'),
  windowMs: z.number().min(10).max(MAX_DURATION_MS).optional().describe('How far back calls count, in milliseconds.'),
  windowCalls: z
    .union([z.literal(false), z.number().int().positive().max(100_000)])
    .optional()
    .describe('Looks at the last so many calls instead of a time, 1-100,000.'),
  openMs: durationMs.optional().describe('How long it stays open the first time, in milliseconds; doubles each time.'),
  maxOpenMs: durationMs.optional().describe('It never stays open longer, in milliseconds.'),
  openJitterRatio: share.optional().describe('Random share by which the open time varies both ways, 0-1.'),
  halfOpenCalls: count.max(1_000).optional().describe('Probes that must succeed in half-open before it closes.'),
  slowCallMs: z
    .union([z.literal(false), durationMs])
    .optional()
    .describe('A call that takes longer is slow, in milliseconds.'),
  slowCallRatio: ratio.optional().describe('Opens at this share of slow calls and above, above 0 up to 1.'),
  maxKeys: count.max(1_000_000).optional().describe('Keyed breakers kept at once; the least recently used goes first.'),
  keyIdleMs: durationMs.optional().describe('A keyed breaker unused for so long is forgotten, in milliseconds.'),
});

const bulkheadSchema = z.strictObject({
  maxConcurrent: count.optional().describe('Calls that run at once.').meta({ byDefault: D.bulkhead.maxConcurrent }),
  maxQueued: z
    .number()
    .int()
    .min(0)
    .optional()
    .describe('Calls that wait for a slot, in order.')
    .meta({ byDefault: D.bulkhead.maxQueued }),
  maxWaitMs: durationMs
    .optional()
    .describe('How long a call waits for a slot, in milliseconds.')
    .meta({ byDefault: D.bulkhead.maxWaitMs }),
});

const rateLimitSchema = z.strictObject({
  limit: z.number().positive().optional().describe('Calls per interval.').meta({ byDefault: D.rateLimit.limit }),
  intervalMs: durationMs
    .optional()
    .describe('The interval, in milliseconds.')
    .meta({ byDefault: D.rateLimit.intervalMs }),
  burst: z
    .union([z.literal(false), count])
    .optional()
    .describe('Calls that may come at once after a quiet time; `false` for `limit`.')
    .meta({ byDefault: D.rateLimit.burst }),
});

const hedgeSchema = z.strictObject({
  maxHedges: z
    .number()
    .int()
    .min(1)
    .max(5)
    .optional()
    .describe('Extra attempts beside the first one, 1-5.')
    .meta({ byDefault: D.hedge.maxHedges }),
  delayMs: z
    .union([z.literal('p95'), durationMs])
    .optional()
    .describe('Wait before an extra attempt, in milliseconds, or the 95th percentile of the last calls.')
    .meta({ byDefault: D.hedge.delayMs }),
  minDelayMs: durationMs
    .optional()
    .describe('Lower limit of a measured delay, in milliseconds.')
    .meta({ byDefault: D.hedge.minDelayMs }),
});

const faultSchema = z.strictObject({
  errorRatio: share
    .optional()
    .describe('Share of the attempts that fail with MESH_FAULT_INJECTED, 0-1.')
    .meta({ byDefault: D.fault.errorRatio }),
  delayMs: waitMs
    .optional()
    .describe('How long attempts wait before the function, in milliseconds.')
    .meta({ byDefault: D.fault.delayMs }),
  delayRatio: share
    .optional()
    .describe('Share of the attempts that wait, 0-1.')
    .meta({ byDefault: D.fault.delayRatio }),
  hangRatio: share
    .optional()
    .describe('Share of the attempts that hang until they are given up or the fault ends, 0-1.')
    .meta({ byDefault: D.fault.hangRatio }),
  ttlMs: durationMs
    .optional()
    .describe('The fault ends so long after it came into force, in milliseconds; this or `until`.'),
  until: z.iso
    .datetime({ offset: true })
    .optional()
    .describe('The fault ends at this instant, such as 2026-11-22T18:00:00Z; this or `ttlMs`.'),
});

const off = z.literal(false);

/** As a policy is when nobody says anything. */
const DEFAULTS = { ...D, ...Object.fromEntries(OFF_BY_DEFAULT.map((name) => [name, false])) };

/** One policy as users write it: what is left out comes from the next layer, `false` switches a protection off. */
export const policySchema = z.strictObject({
  extends: z.string().min(1).optional().describe('A group or another policy to start from.'),
  timeoutMs: z.union([off, durationMs]).optional().describe('Limit of one attempt, in milliseconds.'),
  totalTimeoutMs: z
    .union([off, durationMs])
    .optional()
    .describe('Limit of the whole call with all its retries and waits, in milliseconds.'),
  retry: z
    .union([off, retrySchema])
    .optional()
    .describe('Repeats failed calls that are idempotent or were never sent.'),
  circuitBreaker: z
    .union([off, circuitBreakerSchema])
    .optional()
    .describe('Refuses calls while the callee keeps failing.'),
  bulkhead: z.union([off, bulkheadSchema]).optional().describe('Limits how many calls run at once.'),
  rateLimit: z.union([off, rateLimitSchema]).optional().describe('Limits how many calls begin per interval.'),
  hedge: z.union([off, hedgeSchema]).optional().describe('Starts a second attempt of a slow idempotent call.'),
  fault: z
    .union([off, faultSchema])
    .optional()
    .describe('Makes attempts fail, wait or hang on purpose, for a while: to see what the others do then.'),
});

/** What code may declare: faults are a matter of the running system. */
export const declaredSchema = policySchema.omit({ fault: true });

/** Configuration of the resilience room. */
export const resilienceSchema = z
  .strictObject({
    defaults: policySchema
      .omit({ extends: true, fault: true })
      .default({})
      .describe('Values for every policy.')
      .meta({ byDefault: DEFAULTS }),
    groups: z.record(z.string(), policySchema).default({}).describe('Named values that policies extend.'),
    policies: z
      .record(z.string(), policySchema)
      .default({})
      .describe('Policies by name, or by pattern with `*`; of the patterns the longest that matches applies.'),
    allowFaultsInProduction: z
      .boolean()
      .default(false)
      .describe('Whether `fault` is accepted where NODE_ENV is production.')
      .meta({ update: 'restart' }),
    sharePollMs: z
      .union([off, z.number().int().min(500).max(3_600_000)])
      .default(SHARE_POLL_MS)
      .describe(
        "How often operators' holds of other instances are looked for in the cache, in milliseconds; `false`: breakers are not shared.",
      ),
  })
  .superRefine((options, context) => {
    const isRefused = process.env['NODE_ENV'] === 'production' && !options.allowFaultsInProduction;
    for (const section of ['groups', 'policies'] as const)
      for (const [name, { fault }] of Object.entries(options[section]))
        if (isRefused && fault)
          context.addIssue({
            code: 'custom',
            path: [section, name, 'fault'],
            message: 'faults are refused in production (NODE_ENV), unless resilience.allowFaultsInProduction is true',
          });
    const resolver = new PolicyResolver(options, new Map());
    for (const name of Object.keys(options.policies)) {
      for (const message of resolver.problemsOf(name))
        context.addIssue({ code: 'custom', path: ['policies', name], message });
    }
  })
  .meta({ update: 'live' });

export type ResilienceOptions = z.output<typeof resilienceSchema>;
/** One policy as users write it: what is left out comes from the next layer, `false` switches a protection off. */
export type PolicyOptions = z.input<typeof policySchema>;
export type RetryOptions = z.input<typeof retrySchema>;
export type CircuitBreakerOptions = z.input<typeof circuitBreakerSchema>;
export type BulkheadOptions = z.input<typeof bulkheadSchema>;
export type RateLimitOptions = z.input<typeof rateLimitSchema>;
export type HedgeOptions = z.input<typeof hedgeSchema>;
export type FaultOptions = z.input<typeof faultSchema>;

/** What code, and only code, can say about a policy: predicates and facts about the function. */
export interface PolicyPredicates {
  /** Whether an error says that the callee is unwell; `false` makes it neutral. @default {@link isCalleeFailure} */
  readonly isFailure?: (error: unknown) => boolean;
  /** Whether a value that was returned counts as a failure. @default never */
  readonly isFailureResult?: (result: unknown) => boolean;
  /** Whether a failed attempt is worth another. Narrows the default, never widens it to refused or unsafe calls. */
  readonly isRetryable?: (error: unknown) => boolean;
  /** Whether the function may run twice without harm; a call's own option wins. @default false */
  readonly idempotent?: boolean;
}

/** A policy declared in code, by a decorator or a builder. */
export interface PolicyDeclaration extends Omit<PolicyOptions, 'extends' | 'fault'>, PolicyPredicates {
  readonly extends?: string;
  /** Only the protections named here: the others are off, whatever the defaults say. The single decorators set it. */
  readonly onlyNamed?: boolean;
}
