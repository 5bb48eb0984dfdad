import { z } from 'zod';
import { tlsOptions } from '../transport/tls.options.js';

const server = z.string().regex(/^amqps?:\/\/[^/]+/, 'must look like amqp://host:5672');

/** What RabbitMQ alone has. */
export const rabbitMqOptions = {
  servers: z
    .union([server, z.array(server).min(1)])
    .default('amqp://127.0.0.1:5672')
    .describe(
      'One server or several of a cluster: `amqp://user:password@host:5672/vhost`, `amqps://` for TLS. What the first one says of user, password and vhost holds for all.',
    )
    .meta({ secret: true }),
  user: z.string().default('guest').describe('User name, unless the address has one.'),
  password: z.string().default('guest').describe('Password, unless the address has one.').meta({ secret: true }),
  vhost: z.string().min(1).default('/').describe('Virtual host, unless the address has one.'),
  tls: tlsOptions,
  namePrefix: z
    .string()
    .max(60)
    .regex(/^(?!amq\.)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/)
    .default('mesh')
    .describe('What names of exchanges and queues begin with: services with different prefixes never meet.'),
  heartbeatMs: z
    .number()
    .int()
    .min(1_000)
    .max(60_000)
    .multipleOf(1_000)
    .default(5_000)
    .describe('Heartbeat in milliseconds, whole seconds; a server silent for twice that counts as lost.'),
  maxMessageBytes: z
    .number()
    .int()
    .min(1_024)
    .max(536_870_912)
    .default(16_777_216)
    .describe(
      "Largest payload in bytes; at most the server's max_message_size, which closes the channel of a larger one.",
    ),
};
