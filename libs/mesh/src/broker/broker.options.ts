import { z } from 'zod';
import { natsOptions } from './nats/nats.options.js';
import { nestTransportOptions } from './nest-transport/nest-transport.options.js';
import { rabbitMqOptions } from './rabbitmq/rabbitmq.options.js';

const whole = (min: number, max: number) => z.number().int().min(min).max(max);
const backoff = z.array(whole(0, 3_600_000)).min(1).max(20);

/** What every transport has. */
const shared = {
  requestTimeoutMs: whole(1, 3_600_000)
    .default(5_000)
    .describe('Limit of a request without one of its own, in milliseconds, 1-3600000.')
    .meta({ update: 'live' }),
  maxInFlight: whole(1, 1_000_000)
    .default(10_000)
    .describe('Requests that may run at once, 1-1000000; more are refused with MESH_OVERLOADED.')
    .meta({ update: 'live' }),
  subscribe: z
    .strictObject({
      concurrency: whole(1, 10_000).default(16).describe('Messages a subscription handles at once.'),
      maxQueued: whole(1, 1_000_000)
        .default(1_024)
        .describe(
          'Messages that wait for a subscription, 1-1000000; in-process a publish beyond is refused with MESH_OVERLOADED, from a server an unstored message is dropped.',
        ),
      maxDeliver: whole(1, 100)
        .default(5)
        .describe('Deliveries of a failing message, the first included, 1-100; then it becomes a dead letter.'),
      backoffMs: backoff
        .default([1_000, 5_000, 30_000, 120_000])
        .describe('Milliseconds before the second, third … delivery; the last value repeats. Jittered by 20 %.'),
      maxDeadLetters: whole(0, 1_000_000)
        .default(1_000)
        .describe('Dead letters kept in memory per topic, 0-1000000; the oldest goes first.'),
    })
    .prefault({})
    .describe('Defaults of subscriptions; each subscription may set its own.')
    .meta({ update: 'live' }),
  dedupe: z
    .strictObject({
      redisUrl: z
        .url({ protocol: /^rediss?$/ })
        .optional()
        .describe('Keeps the handled message ids in this Redis, for all instances; in memory if left out.')
        .meta({ secret: true }),
      ttlMs: whole(1_000, 2_592_000_000)
        .default(86_400_000)
        .describe('How long a handled message id is remembered, in milliseconds.'),
      leaseMs: whole(100, 3_600_000)
        .default(60_000)
        .describe('How long a handler that went silent keeps a message id for itself, in milliseconds.'),
      maxEntries: whole(1, 10_000_000).default(100_000).describe('Message ids kept in memory; the oldest goes first.'),
    })
    .prefault({})
    .describe('Where subscriptions with `dedupe` remember what they have handled.'),
};

/** What transports have that reach a server. */
const remote = {
  ...shared,
  required: z
    .boolean()
    .default(true)
    .describe('Whether the application waits for the connection at its start, and fails without one.'),
  exposeErrors: z
    .enum(['code', 'message'])
    .default('code')
    .describe(
      'What callers in other services learn of an error of no known kind: that it happened, or its message too.',
    )
    .meta({ update: 'live' }),
  buffer: z
    .strictObject({
      maxMessages: whole(0, 1_000_000).default(1_000).describe('Messages that may wait for the connection.'),
      maxBytes: whole(1, 1_073_741_824)
        .default(8_388_608)
        .describe('Bytes that may wait for the connection, and for the answer of the server.'),
    })
    .prefault({})
    .describe('Published messages that wait while the broker is away, until their timeout; memory, lost by kill -9.')
    .meta({ update: 'live' }),
};

/** Options of the broker room, under `broker`. */
export const brokerOptionsSchema = z.discriminatedUnion('transport', [
  z.strictObject({
    transport: z
      .literal('in-process')
      .optional()
      .default('in-process')
      .describe('How messages travel. in-process: by reference, inside this process, kept in memory.'),
    ...shared,
  }),
  z.strictObject({ transport: z.literal('nats'), ...natsOptions, ...remote }),
  z.strictObject({ transport: z.literal('rabbitmq'), ...rabbitMqOptions, ...remote }),
  z.strictObject({ transport: z.literal('nest'), ...nestTransportOptions, ...remote }),
]);

export type BrokerOptions = z.infer<typeof brokerOptionsSchema>;

/** The options that every transport has. */
export type SharedBrokerOptions = Omit<Extract<BrokerOptions, { transport: 'in-process' }>, 'transport'>;

/** The options that every transport with a server has. */
export type RemoteBrokerOptions = SharedBrokerOptions & z.infer<z.ZodObject<typeof remote>>;

export type NatsBrokerOptions = Extract<BrokerOptions, { transport: 'nats' }>;

export type RabbitMqBrokerOptions = Extract<BrokerOptions, { transport: 'rabbitmq' }>;

export type NestBrokerOptions = Extract<BrokerOptions, { transport: 'nest' }>;
