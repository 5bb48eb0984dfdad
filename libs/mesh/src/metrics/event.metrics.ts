import type { MeshEventName, MeshEvents } from '../core/mesh.events.js';
import type { Counter, MetricsClient } from '../core/metrics.port.js';

/** Counts the mesh's events, and health transitions by what they were. Rooms count their own work themselves. */
export class EventMetrics {
  readonly #stop: (() => void)[];

  constructor(events: MeshEvents, metrics: MetricsClient) {
    const counted = metrics.counter({
      name: 'mesh_events_total',
      help: 'Events of the mesh by name: transitions, failures, configuration, lifecycle.',
      labels: ['event'],
    });
    const transitions = metrics.counter({
      name: 'mesh_health_transitions_total',
      help: 'Changes of health, by contributor and the status that it changed to.',
      labels: ['component', 'to'],
    });
    const handles = new Map<MeshEventName, Counter>();
    this.#stop = [
      events.onAny((event) => {
        let handle = handles.get(event);
        if (!handle) handles.set(event, (handle = counted.with({ event })));
        handle.inc();
      }),
      events.on('health.transition', ({ contributor, to }) => transitions.with({ component: contributor, to }).inc()),
    ];
  }

  stop(): void {
    for (const stop of this.#stop) stop();
  }
}
