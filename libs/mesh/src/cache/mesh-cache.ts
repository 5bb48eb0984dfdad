import type { CallContexts } from '../core/call-context.js';
import type { Clock, Timer } from '../core/clock.js';
import type { MeshComponent } from '../core/component.port.js';
import type { HealthReport } from '../core/health.port.js';
import type { Ids } from '../core/ids.js';
import type { LiveOptions } from '../core/live-options.js';
import type { MeshEvents } from '../core/mesh.events.js';
import type { Gauge, MetricsClient } from '../core/metrics.port.js';
import { type CacheCore, CacheNamespace } from './cache-namespace.js';
import { ROOT_NAMESPACE, SWEEP_BATCH } from './cache.constants.js';
import type { CacheOptions } from './cache.options.js';
import { LogicalClock } from './logical-clock.js';
import { MemoryTier } from './memory-tier.js';

export interface MeshCacheDependencies {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly events: MeshEvents;
  readonly metrics: MetricsClient;
  readonly contexts: CallContexts;
}

/** The mesh's cache: bounded memory, single flight, stale values when a load is slow or fails. */
export class MeshCache extends CacheNamespace implements MeshComponent {
  readonly name = 'cache';
  readonly #life: { renewing: boolean };
  readonly #core: CacheCore;
  readonly #gauges: { readonly entries: Gauge; readonly bytes: Gauge };
  #sweep: Timer | undefined;
  #unsubscribe: readonly (() => void)[] = [];

  constructor(options: LiveOptions<CacheOptions>, deps: MeshCacheDependencies) {
    const life = { renewing: true };
    const core: CacheCore = {
      options,
      clock: deps.clock,
      ids: deps.ids,
      contexts: deps.contexts,
      metrics: deps.metrics,
      stamps: new LogicalClock(deps.clock),
      memory: new MemoryTier(() => options.current),
      namespaces: new Map(),
      renewing: () => life.renewing,
    };
    super(core, ROOT_NAMESPACE);
    this.#life = life;
    this.#core = core;
    this.#gauges = {
      entries: deps.metrics
        .gauge({ name: 'mesh_cache_entries', help: 'Values in memory, of all namespaces.' })
        .with({}),
      bytes: deps.metrics
        .gauge({ name: 'mesh_cache_bytes', help: 'Estimated size of the values in memory, of all namespaces.' })
        .with({}),
    };
  }

  start(): void {
    const { options, memory, metrics } = this.#core;
    this.#life.renewing = true;
    this.#unsubscribe = [
      options.onChange(() => memory.trim()),
      metrics.onCollect(() => {
        this.#gauges.entries.set(memory.entries);
        this.#gauges.bytes.set(memory.bytes);
      }),
    ];
    this.#scheduleSweep();
  }

  /** Nothing is renewed in the background any more; requests are still answered. */
  drain(): void {
    this.#life.renewing = false;
  }

  /** Idempotent. Late requests are still answered, from memory and from their factories. */
  stop(): void {
    this.drain();
    this.#sweep?.cancel();
    this.#sweep = undefined;
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#unsubscribe = [];
  }

  readHealth(): readonly (HealthReport & { readonly name: string })[] {
    const { entries, bytes } = this.#core.memory;
    return [{ name: this.name, status: 'up', details: { entries, bytes } }];
  }

  #scheduleSweep(): void {
    const { clock, memory, options } = this.#core;
    this.#sweep = clock.setTimer(() => {
      memory.sweep(clock.monotonic(), SWEEP_BATCH);
      this.#scheduleSweep();
    }, options.current.sweepMs);
  }
}
