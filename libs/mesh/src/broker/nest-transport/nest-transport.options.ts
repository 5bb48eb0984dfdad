import { z } from 'zod';

/** The transports of Nest that the broker runs over. */
export const NEST_TRANSPORTS = ['tcp', 'redis', 'nats', 'rmq', 'mqtt'] as const;

export type NestTransportName = (typeof NEST_TRANSPORTS)[number];

/** What can't be had, with what to do instead. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  grpc: 'gRPC needs a .proto for each call; serve it with connectMicroservice (the mesh drains it) and call it with ClientGrpc',
  kafka: 'Kafka knows its topics only before it connects; use ClientKafka and connectMicroservice (the mesh drains it)',
};

const nestOptions = () => z.record(z.string(), z.unknown());

/** What the broker over a transport of Nest's alone has. */
export const nestTransportOptions = {
  via: z
    .enum(NEST_TRANSPORTS, { error: ({ input }) => ELSEWHERE[String(input)] })
    .default('tcp')
    .describe("Which of Nest's transports carries the messages."),
  options: nestOptions()
    .default({})
    .describe("What Nest's transport takes as `options`, for both directions.")
    .meta({ secret: true }),
  client: nestOptions()
    .default({})
    .describe(
      'Over `options`, for what goes out. The peer: `host` and `port` for tcp, `queue` for rmq; without it nothing goes out.',
    )
    .meta({ secret: true }),
  server: nestOptions()
    .default({})
    .describe('Over `options`, for what comes in: `host` and `port` for tcp, `queue` for rmq; without it nothing does.')
    .meta({ secret: true }),
};
