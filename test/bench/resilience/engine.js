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

/** The real clock; unref'd timers are in no list of Node's, so it counts them itself. */
class CountingClock extends SystemClock {
  pending = 0;

  setTimer(callback, delayMs, options) {
    let waits = true;
    const done = () => {
      if (waits) this.pending--;
      waits = false;
    };
    this.pending++;
    const timer = super.setTimer(() => (done(), callback()), delayMs, options);
    return { cancel: () => (done(), timer.cancel()) };
  }
}

const clock = new CountingClock();
export const pendingTimers = () => clock.pending;

export function createManager(policies, { maxSeriesPerMetric = 1_000 } = {}) {
  const events = new MeshEvents();
  const metrics = new PrometheusMetrics(
    fixedOptions({ maxSeriesPerMetric, processMetrics: false, includeDefaultRegistry: false }),
    events,
  );
  return new CircuitBreakerManager(fixedOptions(resilienceSchema.parse({ policies })), {
    clock,
    ids: new SystemIds(),
    events,
    metrics,
    contexts,
  });
}
