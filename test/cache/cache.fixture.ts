import { type CacheOptions, cacheSchema } from '../../libs/mesh/src/cache/cache.options.js';
import { MeshCache } from '../../libs/mesh/src/cache/mesh-cache.js';
import { CacheClient } from '../../libs/mesh/src/core/cache.port.js';
import { CallContexts } from '../../libs/mesh/src/core/call-context.js';
import { SystemIds } from '../../libs/mesh/src/core/ids.js';
import { fixedOptions, SettableOptions } from '../../libs/mesh/src/core/live-options.js';
import { MeshEvents } from '../../libs/mesh/src/core/mesh.events.js';
import { MeshRuntime } from '../../libs/mesh/src/core/mesh-runtime.js';
import { metricsSchema } from '../../libs/mesh/src/metrics/metrics.options.js';
import { PrometheusMetrics } from '../../libs/mesh/src/metrics/prometheus.metrics.js';
import { VirtualClock } from '../../libs/mesh/src/testing/virtual-clock.js';

/** A cache on a virtual clock, and the runtime in which decorators find it. */
export class CacheFixture {
  readonly clock = new VirtualClock();
  readonly options: SettableOptions<CacheOptions>;
  readonly cache: MeshCache;
  readonly runtime = new MeshRuntime();

  constructor(options: unknown = {}) {
    const events = new MeshEvents();
    this.options = new SettableOptions(cacheSchema.parse(options));
    this.cache = new MeshCache(this.options, {
      clock: this.clock,
      events,
      ids: new SystemIds(),
      metrics: new PrometheusMetrics(fixedOptions(metricsSchema.parse({})), events),
      contexts: new CallContexts(),
    });
    this.runtime.provide(CacheClient, this.cache);
  }
}
