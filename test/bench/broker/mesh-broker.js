// The mesh's broker as an application has it, without Nest: real clock, real events.
import { load } from '../harness.js';

const { createBroker } = await load('broker/create-broker.js');
const { brokerOptionsSchema } = await load('broker/broker.options.js');
const { CallContexts } = await load('core/call-context.js');
const { SystemClock } = await load('core/clock.js');
const { SystemIds } = await load('core/ids.js');
const { fixedOptions } = await load('core/live-options.js');
const { MeshEvents } = await load('core/mesh.events.js');
const { ServiceInfo } = await load('core/service-info.js');
const { PrometheusMetrics } = await load('metrics/prometheus.metrics.js');
const { metricsSchema } = await load('metrics/metrics.options.js');

export const clock = new SystemClock();
export const ids = new SystemIds();
export const contexts = new CallContexts();

/** What a peer without metrics is measured against. */
export class NoMetrics {
  #family = { with: () => ({ inc() {}, dec() {}, set() {}, observe() {} }) };
  counter = () => this.#family;
  gauge = () => this.#family;
  histogram = () => this.#family;
  onCollect = () => () => undefined;
}

export function prometheus() {
  const options = metricsSchema.parse({ processMetrics: false, includeDefaultRegistry: false });
  return new PrometheusMetrics(fixedOptions(options), new MeshEvents());
}

/** A broker that is started and consumes. */
export async function meshBroker(options, { name = 'bench', metrics = prometheus(), policyFor } = {}) {
  const broker = createBroker(fixedOptions(brokerOptionsSchema.parse(options)), {
    clock,
    ids,
    contexts,
    metrics,
    events: new MeshEvents(),
    service: new ServiceInfo(name, `${name}-1`),
    ...(policyFor && { policyFor }),
  });
  await broker.start?.({ signal: AbortSignal.timeout(10_000) });
  broker.startConsuming();
  return broker;
}
