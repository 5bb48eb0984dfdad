import type { PreparedChange } from '../config/config.participant.js';
import type { MessageBroker } from '../core/broker.port.js';
import type { CallContexts } from '../core/call-context.js';
import type { Clock, Timer } from '../core/clock.js';
import type { ComponentContext, MeshComponent, StopContext } from '../core/component.port.js';
import type { HealthReport } from '../core/health.port.js';
import type { Ids } from '../core/ids.js';
import type { LiveOptions } from '../core/live-options.js';
import type { MeshEvents } from '../core/mesh.events.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import { messageOf } from '../core/message-of.js';
import type { Gauge, MetricsClient } from '../core/metrics.port.js';
import type { PolicyRunner } from '../core/policy.port.js';
import type { ServiceInfo } from '../core/service-info.js';
import { type CacheCore, CacheNamespace } from './cache-namespace.js';
import { BUS_AWAY_TTL_MS, REQUIRED_TIER_TIMEOUT_MS, ROOT_NAMESPACE, SWEEP_BATCH } from './cache.constants.js';
import { SecondTierRequiredError } from './cache.errors.js';
import type { CacheOptions } from './cache.options.js';
import { InvalidationBus } from './invalidation/invalidation-bus.js';
import { LogicalClock } from './logical-clock.js';
import { MemoryTier } from './memory-tier.js';
import { taggedJson } from './second-tier/cache-codec.js';
import { ConnectedStore } from './second-tier/connected.store.js';
import { KeyvSecondTierStore } from './second-tier/keyv.adapter.js';
import { redisStore } from './second-tier/redis.adapter.js';
import { SecondTier } from './second-tier/second-tier.js';
import { SECOND_TIER_POLICY_NAME } from './second-tier/second-tier.policy.js';
import type { SecondTierStore } from './second-tier/second-tier.store.js';

export interface MeshCacheDependencies {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly events: MeshEvents;
  readonly metrics: MetricsClient;
  readonly contexts: CallContexts;
  /** Hands out the policy `cache:l2`. Needed for a second tier. */
  readonly policies?: PolicyRunner;
  /** Names the service in the keys of the second tier, unless `cache.secondTier.prefix` does. */
  readonly service?: ServiceInfo;
  /** Carries invalidations to the other instances. Leave it out where there are none, as on the in-process broker. */
  readonly broker?: MessageBroker;
}

/** What comes and goes while the application runs. */
interface CacheLife {
  renewing: boolean;
  second: SecondTier | undefined;
  bus: InvalidationBus | undefined;
  maxFreshMs: number;
}

/** The mesh's cache: bounded memory and, where configured, a second tier that can never hurt a call. */
export class MeshCache extends CacheNamespace implements MeshComponent {
  readonly name = 'cache';
  readonly #life: CacheLife;
  readonly #deps: MeshCacheDependencies;
  readonly #core: CacheCore;
  readonly #gauges: { readonly entries: Gauge; readonly bytes: Gauge };
  #sweep: Timer | undefined;
  #unsubscribe: readonly (() => void)[] = [];

  constructor(options: LiveOptions<CacheOptions>, deps: MeshCacheDependencies) {
    const life: CacheLife = { renewing: true, second: undefined, bus: undefined, maxFreshMs: Infinity };
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
      secondTier: () => life.second,
      announce: (change) => life.bus?.announce(change),
      maxFreshMs: () => life.maxFreshMs,
      codec: () => options.current.codec ?? taggedJson,
      keyPrefix: () => {
        const { prefix, schemaVersion } = options.current.secondTier;
        return `${prefix ?? deps.service?.name ?? 'mesh'}:v${schemaVersion}`;
      },
    };
    super(core, ROOT_NAMESPACE);
    this.#life = life;
    this.#deps = deps;
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

  /** @throws {SecondTierRequiredError} when `secondTier.required` is set and there is no second tier that answers. */
  async start(context?: ComponentContext): Promise<void> {
    const { options, memory, metrics } = this.#core;
    // First what may be refused, so that a start that fails leaves nothing behind.
    const found = await this.#secondTierStore(options.current);
    const { required } = options.current.secondTier;
    const missing = (reason: string): Error => new SecondTierRequiredError(REQUIRED_TIER_TIMEOUT_MS, reason);
    const store = found && required ? await this.#connected(found, missing, context?.signal) : found;
    const second = store && this.#secondTier(store);
    this.#life.bus = this.#invalidationBus();
    await this.#life.bus?.start();

    this.#life.renewing = true;
    this.#life.second = second;
    second?.open();
    this.#unsubscribe = [
      options.onChange(() => memory.trim()),
      metrics.onCollect(() => {
        this.#gauges.entries.set(memory.entries);
        this.#gauges.bytes.set(memory.bytes);
      }),
    ];
    this.#scheduleSweep();
  }

  /** Nothing is renewed in the background any more and what is queued is written; requests are still answered. */
  async drain(context?: StopContext): Promise<void> {
    this.#life.renewing = false;
    await this.#life.second?.drain(context?.signal);
  }

  /** Idempotent. Late requests are still answered, from memory and from their factories, and open no connection again. */
  async stop(context?: ComponentContext): Promise<void> {
    this.#life.renewing = false;
    this.#sweep?.cancel();
    this.#sweep = undefined;
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#unsubscribe = [];
    for (const namespace of this.#core.namespaces.values()) namespace.stopRenewing();
    const { second, bus } = this.#life;
    await second?.drain(context?.signal);
    this.#life.second = undefined;
    this.#life.bus = undefined;
    this.#life.maxFreshMs = Infinity;
    await bus?.stop();
    await second?.close();
  }

  /**
   * Connects the second tier that `next` names and asks it, without using it yet: for an update of the configuration.
   * Reads that run at the switch end on the tier that they began with, and what is queued there is still written there.
   */
  async prepareSecondTier(next: CacheOptions, signal: AbortSignal): Promise<PreparedChange> {
    const store = await this.#secondTierStore(next);
    const silent = (reason: string): Error =>
      new Error(`the second tier did not answer within ${REQUIRED_TIER_TIMEOUT_MS} ms (${reason})`);
    const connected = store && (await this.#connected(store, silent, signal));
    const before = this.#life.second;
    let after: SecondTier | undefined;
    return {
      commit: () => {
        after = connected && this.#secondTier(connected);
        after?.open();
        this.#life.second = after;
      },
      revert: () => {
        this.#life.second = before;
        // Deletions went to the other one meanwhile.
        if (before) for (const namespace of this.#core.namespaces.values()) namespace.distrustSecondTier();
      },
      settle: async () => {
        await before?.drain();
        await before?.close();
      },
      discard: () => (after ?? connected)?.close(),
    };
  }

  readHealth(): readonly (HealthReport & { readonly name: string })[] {
    const { entries, bytes } = this.#core.memory;
    const second = this.#life.second?.readHealth();
    const bus = this.#life.bus?.readHealth();
    const reports = [
      { name: this.name, status: 'up' as const, ...second, details: { entries, bytes, ...second?.details } },
    ];
    return bus ? [...reports, { name: `${this.name}.invalidation`, ...bus }] : reports;
  }

  async #secondTierStore({ redis, store }: CacheOptions): Promise<SecondTierStore | undefined> {
    if (store) return new KeyvSecondTierStore(store);
    return redis && redisStore(redis, this.#core.ids);
  }

  /** The store once it answers. When it does not in time, what `refusal` makes of the reason is thrown. */
  async #connected(
    store: SecondTierStore,
    refusal: (reason: string) => Error,
    signal?: AbortSignal,
  ): Promise<ConnectedStore> {
    const timeIsOver = new AbortController();
    let reason: unknown = 'no connection';
    const timer = this.#deps.clock.setTimer(() => timeIsOver.abort(), REQUIRED_TIER_TIMEOUT_MS, { keepAlive: true });
    try {
      const until = signal ? AbortSignal.any([signal, timeIsOver.signal]) : timeIsOver.signal;
      return await ConnectedStore.connect(store, until, (error) => (reason = error));
    } catch (error) {
      if (signal?.aborted) throw error;
      throw refusal(messageOf(timeIsOver.signal.aborted ? reason : error));
    } finally {
      timer.cancel();
    }
  }

  #invalidationBus(): InvalidationBus | undefined {
    const { broker, clock, contexts, events, metrics, ids, service } = this.#deps;
    const { namespaces, keyPrefix, options } = this.#core;
    if (!broker || options.current.invalidation === 'off') return undefined;
    const epoch = ids.next();
    return new InvalidationBus({
      broker,
      clock,
      contexts,
      events,
      metrics,
      epoch,
      instance: service?.instance ?? epoch,
      topic: `mesh.cache.${keyPrefix().replaceAll(':', '.')}`,
      // A namespace that is not in use here holds nothing either.
      apply: (change) => namespaces.get(change.namespace)?.applyInvalidation(change),
      distrustAll: () => {
        for (const namespace of namespaces.values()) namespace.distrustAll();
      },
      onReachable: (isReachable) => {
        this.#life.maxFreshMs = isReachable ? Infinity : BUS_AWAY_TTL_MS;
        for (const namespace of namespaces.values())
          if (isReachable) namespace.distrustAll();
          else namespace.limitFreshness(BUS_AWAY_TTL_MS);
      },
    });
  }

  #secondTier(store: SecondTierStore): SecondTier {
    const { policies, ...deps } = this.#deps;
    if (!policies)
      throw new MeshConfigError('The second tier of the cache needs the policies of the mesh: pass `policies`.');
    const policy = policies.policy(SECOND_TIER_POLICY_NAME);
    return new SecondTier(store, { ...deps, policy, options: this.#core.options });
  }

  #scheduleSweep(): void {
    const { clock, memory, options } = this.#core;
    this.#sweep = clock.setTimer(() => {
      memory.sweep(clock.monotonic(), SWEEP_BATCH);
      this.#scheduleSweep();
    }, options.current.sweepMs);
  }
}
