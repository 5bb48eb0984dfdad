import { z } from 'zod';

/** The transports of Nest that carry all kinds of messages: gRPC calls methods of a .proto, Kafka takes events. */
export const NEST_TRANSPORTS = ['tcp', 'redis', 'nats', 'rmq', 'mqtt'] as const;

export type NestTransportName = (typeof NEST_TRANSPORTS)[number];

/** Of Nest, which passes most of it on to the transport's own client: what it means stands there, and may be a password. */
const nestOptions = (description: string) =>
  z
    .record(z.string(), z.unknown().describe(description).meta({ secret: true }))
    .default({})
    .describe(description);

/** What the broker over a transport of Nest's alone has. */
export const nestTransportOptions = {
  via: z
    .enum([...NEST_TRANSPORTS, 'grpc', 'kafka'])
    .default('tcp')
    .describe("Which of Nest's transports carries the messages."),
  options: nestOptions("What Nest's transport takes as `options`, for both directions."),
  client: nestOptions(
    'Over `options`, for what goes out; for tcp `host` and `port` of the peer, for rmq its `queue`, for grpc `package`, `protoPath` and `url`, for kafka `client.brokers`. Without one nothing goes out.',
  ),
  server: nestOptions(
    'Over `options`, for what comes in; for tcp `host` and `port` to listen at, for rmq the own `queue`. Without one nothing comes in.',
  ),
};
