import { z } from 'zod';

const backoff = z.array(z.number().int().min(0).max(3_600_000)).min(1).max(20);

/** Options of the broker room, under `broker`. */
export const brokerOptionsSchema = z.strictObject({
  transport: z
    .enum(['in-process'])
    .default('in-process')
    .describe('How messages travel. in-process: by reference, inside this process, kept in memory.'),
  requestTimeoutMs: z
    .number()
    .int()
    .min(1)
    .max(3_600_000)
    .default(5_000)
    .describe('Limit of a request without one of its own, in milliseconds, 1-3600000.')
    .meta({ update: 'live' }),
  maxInFlight: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(10_000)
    .describe('Requests that may run at once, 1-1000000; more are refused with MESH_OVERLOADED.')
    .meta({ update: 'live' }),
  subscribe: z
    .strictObject({
      concurrency: z.number().int().min(1).max(10_000).default(16).describe('Messages a subscription handles at once.'),
      maxQueued: z
        .number()
        .int()
        .min(1)
        .max(1_000_000)
        .default(1_024)
        .describe(
          'Messages that wait for a subscription, 1-1000000; a publish beyond is refused with MESH_OVERLOADED.',
        ),
      maxDeliver: z
        .number()
        .int()
        .min(1)
        .max(100)
        .default(5)
        .describe('Deliveries of a failing message, the first included, 1-100; then it becomes a dead letter.'),
      backoffMs: backoff
        .default([1_000, 5_000, 30_000, 120_000])
        .describe('Milliseconds before the second, third … delivery; the last value repeats. Jittered by 20 %.'),
      maxDeadLetters: z
        .number()
        .int()
        .min(0)
        .max(1_000_000)
        .default(1_000)
        .describe('Dead letters kept per topic, 0-1000000; the oldest goes first.'),
    })
    .prefault({})
    .describe('Defaults of subscriptions; each subscription may set its own.')
    .meta({ update: 'live' }),
});

export type BrokerOptions = z.infer<typeof brokerOptionsSchema>;
