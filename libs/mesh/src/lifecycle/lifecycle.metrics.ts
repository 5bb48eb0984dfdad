import type { MeshEvents } from '../core/mesh.events.js';
import type { MetricsClient } from '../core/metrics.port.js';

/** Start and stop in numbers, from the events of the lifecycle; and the HTTP requests in flight, read at each scrape. */
export class LifecycleMetrics {
  readonly #stop: (() => void)[];

  constructor(metrics: MetricsClient, events: MeshEvents, http: { readonly inFlight: number }) {
    const duration = metrics.gauge({
      name: 'mesh_component_step_duration_seconds',
      help: 'How long the last start, drain or stop of a component took, without the waiting for its turn.',
      labels: ['component', 'step'],
    });
    const steps = metrics.counter({
      name: 'mesh_component_steps_total',
      help: 'Starts, drains and stops of components.',
      labels: ['component', 'step', 'outcome'],
    });
    const phases = metrics.gauge({
      name: 'mesh_shutdown_phase_duration_seconds',
      help: 'How long each phase of the shutdown took.',
      labels: ['phase'],
    });
    const inFlight = metrics
      .gauge({ name: 'mesh_http_in_flight', help: 'HTTP requests that are being answered.' })
      .with({});
    this.#stop = [
      events.on('lifecycle.step', ({ component, step, outcome, durationMs }) => {
        duration.with({ component, step }).set(durationMs / 1_000);
        steps.with({ component, step, outcome }).inc();
      }),
      events.on('lifecycle.shutdown-phase', ({ phase, durationMs }) => phases.with({ phase }).set(durationMs / 1_000)),
      metrics.onCollect(() => inFlight.set(http.inFlight)),
    ];
  }

  stop(): void {
    for (const stop of this.#stop) stop();
  }
}
