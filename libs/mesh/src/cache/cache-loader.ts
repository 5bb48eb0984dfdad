import type { CacheFactory, CacheGetOrSetOptions } from '../core/cache.port.js';
import type { CallContexts } from '../core/call-context.js';
import type { CacheMetrics, StaleReason } from './cache.metrics.js';
import type { CacheSettings, SettingsResolver } from './cache-settings.js';
import { CacheLoadTimeoutError } from './cache.errors.js';
import { Load, STILL_LOADING } from './load.js';
import { type LoadDecisions, loadContext } from './load-context.js';
import type { MemoryEntry } from './memory-tier.js';
import { type NamespaceStore, newestOf, type StoreCollaborators } from './namespace-store.js';
import type { SharedValue } from './second-tier/shared-namespace.js';
import { checkedName } from './usage-checks.js';

export interface LoaderCollaborators extends StoreCollaborators {
  readonly contexts: CallContexts;
  /** False while the application shuts down: then nothing is renewed in the background. */
  readonly renewing: () => boolean;
}

interface Request {
  readonly key: string;
  readonly factory: CacheFactory<unknown>;
  readonly call: CacheGetOrSetOptions | undefined;
}

/** What one run of a factory goes by. */
interface LoadPlan {
  readonly settings: CacheSettings;
  readonly decisions: LoadDecisions;
  readonly stale: MemoryEntry | undefined;
}

/** Decides for each request of a namespace whether a kept value answers it, and who runs the factory if not. */
export class CacheLoader {
  readonly #loads = new Map<string, Load>();

  constructor(
    private readonly namespace: string,
    private readonly store: NamespaceStore,
    private readonly settings: SettingsResolver,
    private readonly metrics: CacheMetrics,
    private readonly deps: LoaderCollaborators,
  ) {}

  async load(key: string, factory: CacheFactory<unknown>, call?: CacheGetOrSetOptions): Promise<unknown> {
    const request: Request = { key: checkedName('key', key), factory, call };
    const mode = call?.mode ?? 'use';
    if (mode === 'bypass') {
      this.metrics.bypass();
      return this.#outcome(this.#begin(request, undefined, false), call);
    }
    const entry = this.store.find(key);
    if (mode === 'refresh') this.forget(key);
    else if (entry) {
      if (this.deps.clock.monotonic() >= entry.freshUntil) return this.#fromStale(request, entry);
      this.metrics.hit();
      this.#renew(request, entry);
      return entry.value;
    }
    return this.#fromFactory(request, entry);
  }

  /** From here on nobody joins the running load of the key, and its value is not kept. */
  forget(key: string): void {
    const load = this.#loads.get(key);
    if (!load) return;
    load.obsolete = true;
    this.#loads.delete(key);
  }

  forgetAll(): void {
    for (const key of this.#loads.keys()) this.forget(key);
  }

  /** Ends what only renews values; loads that somebody waits for go on. */
  stopRenewing(): void {
    for (const load of this.#loads.values()) load.stopIfUnattended();
  }

  /** Renews a value in the background shortly before it expires, if nobody does already. */
  #renew(request: Request, entry: MemoryEntry): void {
    const now = this.deps.clock.monotonic();
    if (now < entry.eagerAt || now < entry.retryAt || this.#loads.has(request.key) || !this.deps.renewing()) return;
    this.#begin(request, entry).detach();
  }

  async #fromStale(request: Request, entry: MemoryEntry): Promise<unknown> {
    const serve = (reason: StaleReason): unknown => {
      this.metrics.servedStale(reason);
      return entry.value;
    };
    if (this.deps.clock.monotonic() < entry.retryAt) return serve('throttled');
    const running = this.#loads.get(request.key);
    if (running) this.metrics.shared();
    else if (!this.deps.renewing()) return serve('refreshing');
    const load = running ?? this.#begin(request, entry);
    load.detach();

    const { softTimeoutMs } = this.settings.resolve(request.call);
    const patienceMs = Math.min(softTimeoutMs, this.#remainingMs());
    if (patienceMs <= 0) return serve('refreshing');
    try {
      const value = await load.waitFor(patienceMs, request.call?.signal);
      if (value === STILL_LOADING) return serve('slow');
      if (load.source === 'second') this.metrics.hitSecondTier();
      else this.metrics.miss();
      return value;
    } catch (error) {
      if (request.call?.signal?.aborted) throw error;
      return serve('failed');
    }
  }

  async #fromFactory(request: Request, stale: MemoryEntry | undefined): Promise<unknown> {
    for (;;) {
      const running = this.#loads.get(request.key);
      const load = running ?? this.#begin(request, stale);
      if (running) this.metrics.shared();
      const joinedAt = this.deps.stamps.next();
      const value = await this.#answer(load, request);
      if (!running) return value;
      // A tag that only the factory knew of was deleted after the load began and before this caller came: load again.
      if (running.deletedAt < running.bornAt || running.deletedAt > joinedAt) return value;
    }
  }

  /** The load's outcome; the second tier may have turned up a stale value that is better than a failure. */
  async #answer(load: Load, request: Request): Promise<unknown> {
    try {
      const value = await this.#outcome(load, request.call);
      if (load.source === 'second') this.metrics.hitSecondTier();
      else this.metrics.miss();
      return value;
    } catch (error) {
      const mayServe = request.call?.mode !== 'refresh' && !request.call?.signal?.aborted;
      const kept = mayServe ? this.store.find(request.key) : undefined;
      if (kept) this.metrics.servedStale('failed');
      else this.metrics.miss();
      if (kept) return kept.value;
      throw error;
    }
  }

  /** Waits no longer than the caller may: its own signal and deadline, and the load's limit. */
  async #outcome(load: Load, call: CacheGetOrSetOptions | undefined): Promise<unknown> {
    const remainingMs = this.#remainingMs();
    if (remainingMs === Infinity && !call?.signal) return load.wait();
    const value = await load.waitFor(remainingMs, call?.signal);
    if (value === STILL_LOADING) throw new CacheLoadTimeoutError(this.namespace, Math.max(0, remainingMs), 'caller');
    return value;
  }

  #remainingMs(): number {
    const deadlineAt = this.deps.contexts.current()?.deadlineAt;
    return deadlineAt === undefined ? Infinity : deadlineAt - this.deps.clock.now();
  }

  #begin(request: Request, stale: MemoryEntry | undefined, shared = true): Load {
    const { key, call } = request;
    const settings = this.settings.resolve(call);
    const load = new Load(this.deps.stamps.next(), this.deps.clock, {
      limitMs: settings.hardTimeoutMs,
      timeoutError: () => new CacheLoadTimeoutError(this.namespace, settings.hardTimeoutMs, 'factory'),
      onEnd: (ended, ending) => {
        if (this.#loads.get(key) === ended) this.#loads.delete(key);
        if (ending !== 'settled') this.metrics.loaded(ending, this.deps.clock.monotonic() - startedAt);
        if (ending === 'timeout' && shared) this.store.backOff(key);
      },
    });
    const startedAt = this.deps.clock.monotonic();
    if (shared) this.#loads.set(key, load);
    const decisions = { ttlMs: settings.ttlMs, maxFreshMs: Infinity, tags: new Set(call?.tags), keep: shared };
    const plan = { settings, decisions, stale };
    load.begin((signal) => this.#detachedFromCaller(settings, () => this.#run(request, load, plan, signal)));
    return load;
  }

  async #run(request: Request, load: Load, plan: LoadPlan, signal: AbortSignal): Promise<unknown> {
    const { clock } = this.deps;
    const { settings, decisions, stale } = plan;
    const startedAt = clock.monotonic();
    const kept = stale && { value: stale.value, ageMs: startedAt - stale.storedAt };
    try {
      // Without a second tier the factory runs at once, inside its caller's own turn.
      if (decisions.keep && this.store.hasSecondTier && request.call?.mode !== 'refresh') {
        const found = await this.#fromSecondTier(request.key, load, stale);
        if (found) return found.value;
        if (load.ended) return undefined;
      }
      const value = await request.factory(loadContext(this.namespace, signal, kept, decisions));
      if (load.ended) return value;
      this.metrics.loaded('ok', clock.monotonic() - startedAt);
      const tags = [...decisions.tags].map((tag) => checkedName('tag', tag));
      load.deletedAt = this.store.markers.deletedAt(tags);
      if (value !== undefined && decisions.keep && !load.obsolete)
        this.store.put(request.key, {
          value,
          tags,
          bornAt: load.bornAt,
          ttlMs: decisions.ttlMs,
          maxFreshMs: decisions.maxFreshMs,
          graceMs: settings.graceMs,
        });
      return value;
    } catch (error) {
      if (load.ended) throw error;
      this.metrics.loaded('error', clock.monotonic() - startedAt);
      if (decisions.keep) this.store.backOff(request.key);
      throw error;
    }
  }

  /** A fresh value that somebody else loaded meanwhile; a stale one is kept for the case that the factory fails. */
  async #fromSecondTier(key: string, load: Load, known: MemoryEntry | undefined): Promise<SharedValue | undefined> {
    const found = await this.store.fetch(
      key,
      ({ bornAt }) => !load.ended && !load.obsolete && bornAt > newestOf(known),
    );
    if (!found || found.freshMs <= 0) return undefined;
    load.source = 'second';
    load.deletedAt = this.store.markers.deletedAt(found.tags);
    return found;
  }

  /**
   * A load serves callers other than the one that began it: what it calls is bounded by the load's own time, not by the
   * deadline of whoever happened to come first.
   */
  #detachedFromCaller<T>({ hardTimeoutMs }: CacheSettings, work: () => T): T {
    const context = this.deps.contexts.current();
    if (!context) return work();
    return this.deps.contexts.run({ ...context, deadlineAt: this.deps.clock.now() + hardTimeoutMs }, work);
  }
}
