// The engine as an application has it, without Nest: real clock, real metrics, real events.
import { load } from '../harness.js';

const { CircuitBreakerManager } = await load('resilience/circuit-breaker.manager.js');
const { resilienceSchema } = await load('resilience/resilience.options.js');
const { CallContexts } = await load('core/call-context.js');
const { SystemClock } = await load('core/clock.js');
const { SystemIds } = await load('core/ids.js');
const { MeshEvents } = await load('core/mesh.events.js');
const { fixedOptions } = await load('core/live-options.js');
const { PrometheusMetrics } = await load('metrics/prometheus.metrics.js');

export const contexts = new CallContexts();

export function createManager(policies, { maxSeriesPerMetric = 1_000 } = {}) {
  const events = new MeshEvents();
  const metrics = new PrometheusMetrics(
    fixedOptions({ maxSeriesPerMetric, processMetrics: false, includeDefaultRegistry: false }),
    events,
  );
  return new CircuitBreakerManager(fixedOptions(resilienceSchema.parse({ policies })), {
    clock: new SystemClock(),
    ids: new SystemIds(),
    events,
    metrics,
    contexts,
  });
}
