import { z } from 'zod';
import { tlsOptions } from '../transport/tls.options.js';

const positive = z.number().int().min(1);

/** What NATS alone has. */
export const natsOptions = {
  servers: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
    .default('nats://127.0.0.1:4222')
    .describe('One server or several of a cluster: `nats://host:4222`.'),
  user: z.string().optional().describe('User name, with `password`.'),
  password: z.string().optional().describe('Password of `user`.').meta({ secret: true }),
  token: z.string().optional().describe('Token instead of user and password.').meta({ secret: true }),
  tls: tlsOptions,
  subjectPrefix: z
    .string()
    .regex(/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/)
    .default('mesh')
    .describe('What subjects begin with: services with different prefixes never meet.'),
  pingIntervalMs: positive
    .max(600_000)
    .default(5_000)
    .describe('How often the server is asked for a sign of life; two missed ones count as a lost connection.'),
  jetstream: z
    .strictObject({
      manage: z
        .boolean()
        .default(true)
        .describe('Whether missing streams are created; otherwise an operator does, one for each durable topic.'),
      storage: z.enum(['file', 'memory']).default('file').describe('Where created streams keep their messages.'),
      replicas: positive.max(5).default(1).describe('Servers that keep each message, 1-5.'),
      maxAgeMs: z
        .number()
        .int()
        .min(60_000)
        .default(604_800_000)
        .describe('How long created streams keep messages, in milliseconds; 7 days.'),
      maxBytes: positive.optional().describe('How large a created stream may become; unbounded if left out.'),
      ackWaitMs: positive
        .min(1_000)
        .max(3_600_000)
        .default(30_000)
        .describe('After how many silent milliseconds a message is delivered elsewhere; running handlers renew it.'),
      deliver: z
        .enum(['all', 'new'])
        .default('all')
        .describe('What a group that is new to a stream gets: all that is stored, or only what comes from now on.'),
    })
    .prefault({})
    .describe('Streams for confirmed messages and `atLeastOnce` subscriptions.'),
};
