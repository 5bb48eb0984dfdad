import { MeshCache } from './cache/mesh-cache.js';
import { ConfigFileWatcher } from './config/config-file.watcher.js';
import { meterConfig } from './config/config.metrics.js';
import type { ConfigParticipant } from './config/config.participant.js';
import { formatPath } from './config/config.path.js';
import type { ConfigStore } from './config/config.store.js';
import type { CacheClient } from './core/cache.port.js';
import type { Clock } from './core/clock.js';
import type { MeshComponent } from './core/component.port.js';
import { MeshConfigError } from './core/mesh.errors.js';
import type { MeshEvents } from './core/mesh.events.js';
import type { MetricsClient } from './core/metrics.port.js';
import { readinessWatch } from './readiness.watch.js';
import type { HealthAggregator } from './health/health.aggregator.js';
import type { MeshConfig } from './mesh.options.js';
import type { PartReplacer } from './replaceable/part-replacer.js';

export interface ConfigWiringDeps {
  readonly store: ConfigStore<MeshConfig>;
  readonly clock: Clock;
  readonly events: MeshEvents;
  readonly metrics: MetricsClient;
  readonly health: HealthAggregator;
  readonly replacer: Pick<PartReplacer, 'close'>;
  /** In the order of their dependencies. */
  readonly participants: readonly ConfigParticipant<MeshConfig>[];
  /** All components of the application, in the order of their dependencies; asked when they have started. */
  readonly components: () => readonly MeshComponent[];
}

/**
 * Lets the configuration change while the application runs: the rooms take part in updates, readiness decides whether
 * they stand, and the file is watched from `ready` on. The last part to start and the first to go, so that no update
 * meets a part that is not up.
 */
export class ConfigWiring implements MeshComponent {
  readonly name = 'config';
  readonly dependsOn = ['health'];
  readonly #deps: ConfigWiringDeps;
  readonly #watcher: ConfigFileWatcher;
  #leave: readonly (() => void)[] = [];

  constructor(deps: ConfigWiringDeps) {
    this.#deps = deps;
    this.#watcher = new ConfigFileWatcher(deps.store, deps.clock);
  }

  start(): void {
    const { store, events, health, clock, participants } = this.#deps;
    store.watchHealthWith(readinessWatch(health, events, clock));
    this.#leave = [
      ...participants.map((participant) => store.join(participant)),
      events.on('lifecycle.phase', ({ phase }) => {
        if (phase === 'ready') this.#onReady();
        else this.#watcher.stop();
      }),
    ];
  }

  #onReady(): void {
    const followers = this.#deps.components().flatMap((component) => participantOf(component) ?? []);
    this.#leave = [...this.#leave, ...followers.map((participant) => this.#deps.store.join(participant))];
    this.#watcher.start();
  }

  /** Counts updates until the returned function is called; longer than the component lives, so that its end is counted. */
  meter(): () => void {
    const { store, events, metrics } = this.#deps;
    return meterConfig(store, events, metrics);
  }

  async drain(): Promise<void> {
    this.#watcher.stop();
    await Promise.all([this.#deps.store.close(), this.#deps.replacer.close()]);
  }

  async stop(): Promise<void> {
    await this.drain();
    for (const leave of this.#leave) leave();
    this.#leave = [];
  }
}

/** In milliseconds: a little more than the cache gives a new second tier to answer, so that its reason is the one told. */
const SECOND_TIER_TIMEOUT_MS = 5_000;

/** Swaps the cache's second tier when an update names another one. */
export function secondTierParticipant(cache: () => CacheClient): ConfigParticipant<MeshConfig> {
  return {
    name: 'cache',
    paths: ['cache.redis', 'cache.store'],
    timeoutMs: SECOND_TIER_TIMEOUT_MS,
    prepare: ({ next, signal }) => {
      const current = cache();
      if (current instanceof MeshCache) return current.prepareSecondTier(next.cache, signal);
      throw new MeshConfigError(`the cache in use, ${current.constructor.name}, has no second tier of the mesh`);
    },
  };
}

/** Lets a component that can be reconfigured take part in updates of its paths. */
function participantOf(component: MeshComponent): ConfigParticipant<MeshConfig> | undefined {
  const { name, configPaths } = component;
  if (!component.reconfigure || !configPaths || configPaths.length === 0) return undefined;
  return {
    name,
    paths: configPaths,
    prepares: 'all',
    prepare: async ({ next, previous, changes, signal }) =>
      component.reconfigure!({ next, previous, signal, paths: changes.map(({ path }) => formatPath(path)) }),
  };
}
