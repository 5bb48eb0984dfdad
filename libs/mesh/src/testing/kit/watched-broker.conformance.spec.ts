import { describe, it } from 'vitest';
import { RecordingMetrics } from '../../../../../test/broker/recording-metrics.fixture.js';
import { brokerOptionsSchema } from '../../broker/broker.options.js';
import { InProcessBroker } from '../../broker/in-process.broker.js';
import { CallContexts } from '../../core/call-context.js';
import { SystemClock } from '../../core/clock.js';
import { SystemIds } from '../../core/ids.js';
import { fixedOptions } from '../../core/live-options.js';
import { MeshEvents } from '../../core/mesh.events.js';
import { ServiceInfo } from '../../core/service-info.js';
import { brokerConformance } from '../broker.conformance.js';
import type { BrokerUnderTest } from '../broker-under-test.js';
import { WatchedBroker } from './watched-broker.js';

const maxQueued = 100;
const maxInFlight = 100;

function create(): BrokerUnderTest {
  const options = fixedOptions(brokerOptionsSchema.parse({ maxInFlight, subscribe: { maxQueued } }));
  const broker = new InProcessBroker(options, {
    clock: new SystemClock(),
    ids: new SystemIds(),
    events: new MeshEvents(),
    metrics: new RecordingMetrics(),
    contexts: new CallContexts(),
    service: new ServiceInfo('conformance', 'conformance-1'),
  });
  void new WatchedBroker(broker);
  broker.startConsuming();
  return { broker, maxQueued, maxInFlight, close: () => broker.stop() };
}

describe('a broker that the kit watches', () => {
  for (const { name, run } of brokerConformance(create)) it(name, run);
});
