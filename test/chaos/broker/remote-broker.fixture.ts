import type { z } from 'zod';
import { createBroker } from '../../../libs/mesh/src/broker/create-broker.js';
import { brokerOptionsSchema } from '../../../libs/mesh/src/broker/broker.options.js';
import type { TransportBroker } from '../../../libs/mesh/src/broker/transport/transport.broker.js';
import { CallContexts } from '../../../libs/mesh/src/core/call-context.js';
import { SystemClock } from '../../../libs/mesh/src/core/clock.js';
import { SystemIds } from '../../../libs/mesh/src/core/ids.js';
import { fixedOptions } from '../../../libs/mesh/src/core/live-options.js';
import { type MeshEventName, MeshEvents } from '../../../libs/mesh/src/core/mesh.events.js';
import { ServiceInfo } from '../../../libs/mesh/src/core/service-info.js';
import type { BrokerUnderTest, KillableServer } from '../../../libs/mesh/src/testing/broker-under-test.js';
import { RecordingMetrics } from '../../broker/recording-metrics.fixture.js';

export interface RemoteBroker {
  readonly broker: TransportBroker;
  readonly contexts: CallContexts;
  readonly metrics: RecordingMetrics;
  /** What the broker told, for the message of a failed expectation. */
  readonly told: { readonly name: MeshEventName; readonly event: unknown }[];
}

let instances = 0;

/** A broker as an instance of the service `shop` has it, over a real server, connected and consuming. */
export async function remoteBroker(
  options: z.input<typeof brokerOptionsSchema>,
  signal = AbortSignal.timeout(10_000),
): Promise<RemoteBroker> {
  const events = new MeshEvents();
  const told: { name: MeshEventName; event: unknown }[] = [];
  events.onAny((name, event) => void told.push({ name, event }));
  const contexts = new CallContexts();
  const metrics = new RecordingMetrics();
  const broker = createBroker(fixedOptions(brokerOptionsSchema.parse(options)), {
    clock: new SystemClock(),
    ids: new SystemIds(),
    events,
    metrics,
    contexts,
    service: new ServiceInfo('shop', `shop-${++instances}`),
  }) as TransportBroker;
  await broker.start({ signal });
  broker.startConsuming();
  return { broker, contexts, metrics, told };
}

/** One broker of `options` for a case of the conformance suite, and as many more instances of it as the case asks for. */
export async function remoteUnderTest(
  options: z.input<typeof brokerOptionsSchema>,
  server: KillableServer,
): Promise<BrokerUnderTest> {
  const brokers: TransportBroker[] = [];
  const another = async (): Promise<TransportBroker> => {
    const { broker } = await remoteBroker(options);
    brokers.push(broker);
    return broker;
  };
  return {
    broker: await another(),
    ...(options.maxInFlight !== undefined && { maxInFlight: options.maxInFlight }),
    server,
    another,
    close: async () => {
      await server.start();
      await Promise.all(brokers.map((broker) => broker.stop()));
    },
  };
}
