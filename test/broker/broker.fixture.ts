import { CallContexts } from '../../libs/mesh/src/core/call-context.js';
import { Ids } from '../../libs/mesh/src/core/ids.js';
import { fixedOptions } from '../../libs/mesh/src/core/live-options.js';
import { MeshEvents } from '../../libs/mesh/src/core/mesh.events.js';
import type { Policy } from '../../libs/mesh/src/core/policy.port.js';
import { ServiceInfo } from '../../libs/mesh/src/core/service-info.js';
import { VirtualClock } from '../../libs/mesh/src/testing/virtual-clock.js';
import { brokerOptionsSchema } from '../../libs/mesh/src/broker/broker.options.js';
import { InProcessBroker } from '../../libs/mesh/src/broker/in-process.broker.js';
import { RecordingMetrics } from './recording-metrics.fixture.js';
import type { z } from 'zod';

export class CountingIds extends Ids {
  #count = 0;
  override next(): string {
    return `id-${++this.#count}`;
  }
  override spanId(): string {
    return '0123456789abcdef';
  }
  override traceId(): string {
    return '0123456789abcdef0123456789abcdef';
  }
  override random(): number {
    return 0.5;
  }
}

/** An in-process broker on a clock that stands still, with everything that it talks to at hand. */
export function brokerFixture(
  options: z.input<typeof brokerOptionsSchema> = {},
  policyFor?: (pattern: string) => Policy | undefined,
) {
  const clock = new VirtualClock();
  const events = new MeshEvents();
  const metrics = new RecordingMetrics();
  const contexts = new CallContexts();
  const broker = new InProcessBroker(fixedOptions(brokerOptionsSchema.parse(options)), {
    clock,
    events,
    metrics,
    contexts,
    ids: new CountingIds(),
    service: new ServiceInfo('shop', 'shop-1'),
    ...(policyFor && { policyFor }),
  });
  broker.startConsuming();
  return { broker, clock, events, metrics, contexts };
}

/** What a promise did, without waiting for it. */
export function watch(promise: Promise<unknown>): { readonly outcome: unknown; readonly state: string } {
  const seen: { outcome: unknown; state: string } = { outcome: undefined, state: 'pending' };
  promise.then(
    (value) => Object.assign(seen, { outcome: value, state: 'resolved' }),
    (error: unknown) => Object.assign(seen, { outcome: error, state: 'rejected' }),
  );
  return seen;
}
