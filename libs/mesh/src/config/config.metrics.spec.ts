import { expect, it } from 'vitest';
import { z } from 'zod';
import { MeshEvents } from '../core/mesh.events.js';
import { MetricsClient, type MetricDefinition, type MetricsExposition } from '../core/metrics.port.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { loadConfig } from './config.loader.js';
import { meterConfig } from './config.metrics.js';

/** Keeps every series in a map: the port in its smallest form. */
class MapMetrics extends MetricsClient {
  readonly values = new Map<string, number>();
  readonly #collectors = new Set<() => void>();

  override counter = (definition: MetricDefinition) => this.#family(definition);
  override gauge = (definition: MetricDefinition) => this.#family(definition);
  override histogram = (): never => {
    throw new Error('There is no histogram here.');
  };
  override onCollect(callback: () => void): () => void {
    this.#collectors.add(callback);
    return () => void this.#collectors.delete(callback);
  }
  override async expose(): Promise<MetricsExposition> {
    for (const collect of this.#collectors) collect();
    return { contentType: 'text/plain', body: JSON.stringify(Object.fromEntries(this.values)) };
  }

  #family({ name }: MetricDefinition) {
    return {
      with: (labels: Readonly<Record<string, string>>) => {
        const series = [name, ...Object.values(labels)].join(' ');
        this.values.set(series, 0);
        const add = (by = 1): void => void this.values.set(series, this.values.get(series)! + by);
        return { inc: add, dec: (by = 1) => add(-by), set: (value: number) => void this.values.set(series, value) };
      },
    };
  }
}

it('counts updates by their result and shows the generation', async () => {
  const schema = z.strictObject({ ttlMs: z.int().min(1).default(30) }).meta({ update: 'live' });
  const events = new MeshEvents();
  const clock = new VirtualClock();
  const store = await loadConfig({ schema, value: {}, env: {}, events, clock });
  const metrics = new MapMetrics();
  const stop = meterConfig(store, events, metrics);

  await store.update({ ttlMs: 5 }, { source: 'test' });
  await expect(store.update({ ttlMs: 0 }, { source: 'test' })).rejects.toThrow();
  store.watchHealthWith((onDown) => {
    onDown('redis', 'gone');
    return () => undefined;
  });
  await expect(store.update({ ttlMs: 6 }, { source: 'test' })).rejects.toThrow('redis went down');

  expect(JSON.parse((await metrics.expose()).body)).toEqual({
    mesh_config_generation: 4,
    'mesh_config_updates_total applied': 2,
    'mesh_config_updates_total rejected': 1,
    'mesh_config_updates_total rolled-back': 1,
  });
  stop();
  expect(events.listenerCount()).toBe(0);
});
