import { describe, it } from 'vitest';
import { CallContexts } from '../core/call-context.js';
import { SystemClock } from '../core/clock.js';
import { SystemIds } from '../core/ids.js';
import { fixedOptions } from '../core/live-options.js';
import { MeshEvents } from '../core/mesh.events.js';
import { metricsSchema } from '../metrics/metrics.options.js';
import { PrometheusMetrics } from '../metrics/prometheus.metrics.js';
import { cacheConformance, type CacheUnderTest } from '../testing/cache.conformance.js';
import { cacheSchema } from './cache.options.js';
import { MeshCache } from './mesh-cache.js';

async function create(): Promise<CacheUnderTest> {
  const events = new MeshEvents();
  const cache = new MeshCache(fixedOptions(cacheSchema.parse({})), {
    clock: new SystemClock(),
    ids: new SystemIds(),
    events,
    metrics: new PrometheusMetrics(fixedOptions(metricsSchema.parse({})), events),
    contexts: new CallContexts(),
  });
  await cache.start();
  return { cache, close: () => cache.stop() };
}

describe('MeshCache in memory', () => {
  for (const { name, run } of cacheConformance(create)) it(name, run);
});
