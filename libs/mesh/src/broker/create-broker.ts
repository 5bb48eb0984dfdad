import type { LiveOptions } from '../core/live-options.js';
import type { BrokerCollaborators } from './broker-collaborators.js';
import type { BrokerOptions, NatsBrokerOptions, NestBrokerOptions, RabbitMqBrokerOptions } from './broker.options.js';
import type { DedupeStore } from './dedupe/dedupe.store.js';
import { MemoryDedupeStore } from './dedupe/memory-dedupe.store.js';
import { RedisDedupeStore } from './dedupe/redis-dedupe.adapter.js';
import { InProcessBroker } from './in-process.broker.js';
import { NatsDriver } from './nats/nats.adapter.js';
import { GrpcDriver } from './nest-transport/grpc.adapter.js';
import { KafkaDriver } from './nest-transport/kafka.adapter.js';
import { NestDriver } from './nest-transport/nest.driver.js';
import { RabbitMqDriver } from './rabbitmq/rabbitmq.adapter.js';
import type { TransportDriver } from './transport/transport-driver.port.js';
import { TransportBroker } from './transport/transport.broker.js';

/** The broker that the configuration names. The client of a server is loaded when it starts, and only if it is named. */
export function createBroker(
  options: LiveOptions<BrokerOptions>,
  collaborators: BrokerCollaborators,
): InProcessBroker | TransportBroker {
  const parts = { ...collaborators, dedupe: collaborators.dedupe ?? dedupeStore(options, collaborators) };
  const { transport } = options.current;
  switch (transport) {
    case 'in-process':
      return new InProcessBroker(options, parts);
    case 'nats': {
      // The transport never changes while the application runs.
      const nats = options as LiveOptions<NatsBrokerOptions>;
      return new TransportBroker(nats, new NatsDriver(nats.current, parts), parts);
    }
    case 'rabbitmq': {
      const rabbitMq = options as LiveOptions<RabbitMqBrokerOptions>;
      return new TransportBroker(rabbitMq, new RabbitMqDriver(rabbitMq.current, parts), parts);
    }
    case 'nest': {
      const nest = options as LiveOptions<NestBrokerOptions>;
      return new TransportBroker(nest, nestDriver(nest.current, parts), parts);
    }
  }
}

function nestDriver(options: NestBrokerOptions, parts: BrokerCollaborators): TransportDriver {
  const { via } = options;
  if (via === 'grpc') return new GrpcDriver(options, parts);
  if (via === 'kafka') return new KafkaDriver(options, parts);
  return new NestDriver({ ...options, via }, parts);
}

/** Whether a broker of these options can hand a message to every instance of a service. */
export function reachesEveryInstance(options: BrokerOptions): boolean {
  return options.transport !== 'nest' || !['tcp', 'rmq', 'grpc', 'kafka'].includes(options.via);
}

function dedupeStore(options: LiveOptions<BrokerOptions>, { clock, events }: BrokerCollaborators): DedupeStore {
  const { redisUrl } = options.current.dedupe;
  if (redisUrl === undefined) return new MemoryDedupeStore(clock, () => options.current.dedupe.maxEntries);
  return new RedisDedupeStore(redisUrl, 'mesh:dedupe:', { clock, events });
}
