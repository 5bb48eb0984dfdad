import { brokerOptionsSchema } from '../../libs/mesh/src/broker/broker.options.js';
import { InProcessBroker } from '../../libs/mesh/src/broker/in-process.broker.js';
import { CallContexts } from '../../libs/mesh/src/core/call-context.js';
import { SystemClock } from '../../libs/mesh/src/core/clock.js';
import { SystemIds } from '../../libs/mesh/src/core/ids.js';
import { fixedOptions } from '../../libs/mesh/src/core/live-options.js';
import { MeshEvents } from '../../libs/mesh/src/core/mesh.events.js';
import { ServiceInfo } from '../../libs/mesh/src/core/service-info.js';
import type { BrokerUnderTest } from '../../libs/mesh/src/testing/broker-under-test.js';
import { RecordingMetrics } from './recording-metrics.fixture.js';

const maxQueued = 100;
const maxInFlight = 100;

/** An in-process broker for one case of the conformance suite; `prepare` is called before it consumes. */
export function inProcessUnderTest(prepare: (broker: InProcessBroker) => void = () => undefined): BrokerUnderTest {
  const options = fixedOptions(brokerOptionsSchema.parse({ maxInFlight, subscribe: { maxQueued } }));
  const broker = new InProcessBroker(options, {
    clock: new SystemClock(),
    ids: new SystemIds(),
    events: new MeshEvents(),
    metrics: new RecordingMetrics(),
    contexts: new CallContexts(),
    service: new ServiceInfo('conformance', 'conformance-1'),
  });
  prepare(broker);
  broker.startConsuming();
  return { broker, maxQueued, maxInFlight, close: () => broker.stop() };
}
