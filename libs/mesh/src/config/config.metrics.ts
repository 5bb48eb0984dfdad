import type { MeshEvents } from '../core/mesh.events.js';
import type { MetricsClient } from '../core/metrics.port.js';
import type { ConfigStore } from './config.store.js';

/** Counts what becomes of configuration updates. Returns the function that stops. */
export function meterConfig(
  store: Pick<ConfigStore, 'generation'>,
  events: MeshEvents,
  metrics: MetricsClient,
): () => void {
  const generation = metrics.gauge({
    name: 'mesh_config_generation',
    help: 'Generation of the configuration in force.',
  });
  const updates = metrics.counter({
    name: 'mesh_config_updates_total',
    help: 'Configuration updates by what became of them; one that was rolled back had been applied before.',
    labels: ['result'],
  });
  const [applied, rejected, rolledBack] = ['applied', 'rejected', 'rolled-back'].map((result) =>
    updates.with({ result }),
  );
  const current = generation.with({});
  const stops = [
    metrics.onCollect(() => current.set(store.generation)),
    events.on('config.changed', () => applied!.inc()),
    events.on('config.rejected', () => rejected!.inc()),
    events.on('config.rolled-back', () => rolledBack!.inc()),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}
