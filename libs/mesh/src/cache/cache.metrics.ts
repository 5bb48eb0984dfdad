import type { Counter, Histogram, MetricsClient } from '../core/metrics.port.js';
import type { EvictionReason } from './memory-tier.js';

export type StaleReason = 'refreshing' | 'slow' | 'failed' | 'throttled';
type RequestResult = 'hit' | 'hit_l2' | 'stale' | 'miss' | 'bypass';
type LoadResult = 'ok' | 'error' | 'timeout' | 'abandoned';

const STALE_REASONS: readonly StaleReason[] = ['refreshing', 'slow', 'failed', 'throttled'];
const EVICTION_REASONS: readonly EvictionReason[] = ['entries', 'bytes', 'expired'];

function bind<K extends string>(values: readonly K[], handle: (value: K) => Counter): Readonly<Record<K, Counter>> {
  return Object.fromEntries(values.map((value) => [value, handle(value)])) as Record<K, Counter>;
}

/** The numbers of one namespace: plain fields for `stats()`, and the metric handles that they go out by. */
export class CacheMetrics {
  hits = 0;
  misses = 0;
  stale = 0;
  loads = 0;
  loadFailures = 0;
  coalesced = 0;
  readonly evictions: Readonly<Record<EvictionReason, Counter>>;
  readonly #requests: Readonly<Record<RequestResult, Counter>>;
  readonly #loads: Readonly<Record<LoadResult, Counter>>;
  readonly #staleReasons: Readonly<Record<StaleReason, Counter>>;
  readonly #coalesced: Counter;
  readonly #duration: Histogram;

  constructor(metrics: MetricsClient, cache: string) {
    const requests = metrics.counter({
      name: 'mesh_cache_requests_total',
      help: 'Requests to the cache by what they were answered with.',
      labels: ['cache', 'result'],
    });
    const loads = metrics.counter({
      name: 'mesh_cache_loads_total',
      help: 'Runs of cache factories.',
      labels: ['cache', 'result'],
    });
    const stale = metrics.counter({
      name: 'mesh_cache_stale_served_total',
      help: 'Expired values that were served, by why.',
      labels: ['cache', 'reason'],
    });
    const evictions = metrics.counter({
      name: 'mesh_cache_evictions_total',
      help: 'Values dropped from memory: by the bound of entries or bytes, or because they had expired.',
      labels: ['cache', 'reason'],
    });
    this.#requests = bind(['hit', 'hit_l2', 'stale', 'miss', 'bypass'], (result) => requests.with({ cache, result }));
    this.#loads = bind(['ok', 'error', 'timeout', 'abandoned'], (result) => loads.with({ cache, result }));
    this.#staleReasons = bind(STALE_REASONS, (reason) => stale.with({ cache, reason }));
    this.evictions = bind(EVICTION_REASONS, (reason) => evictions.with({ cache, reason }));
    this.#coalesced = metrics
      .counter({
        name: 'mesh_cache_coalesced_total',
        help: 'Requests that shared a load begun by another.',
        labels: ['cache'],
      })
      .with({ cache });
    this.#duration = metrics
      .histogram({ name: 'mesh_cache_load_duration_seconds', help: 'Duration of cache factories.', labels: ['cache'] })
      .with({ cache });
  }

  hit(): void {
    this.hits++;
    this.#requests.hit.inc();
  }

  hitSecondTier(): void {
    this.hits++;
    this.#requests.hit_l2.inc();
  }

  miss(): void {
    this.misses++;
    this.#requests.miss.inc();
  }

  servedStale(reason: StaleReason): void {
    this.stale++;
    this.#requests.stale.inc();
    this.#staleReasons[reason].inc();
  }

  bypass(): void {
    this.#requests.bypass.inc();
  }

  shared(): void {
    this.coalesced++;
    this.#coalesced.inc();
  }

  loaded(result: LoadResult, durationMs: number): void {
    this.loads++;
    if (result !== 'ok') this.loadFailures++;
    this.#loads[result].inc();
    this.#duration.observe(durationMs / 1_000);
  }
}
