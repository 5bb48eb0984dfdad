import type { CallContexts } from '../../core/call-context.js';
import type { Clock, Timer } from '../../core/clock.js';
import type { HealthReport } from '../../core/health.port.js';
import type { Ids } from '../../core/ids.js';
import type { LiveOptions } from '../../core/live-options.js';
import { isMeshError } from '../../core/mesh.error.js';
import { messageOf } from '../../core/message-of.js';
import type { MeshEvents } from '../../core/mesh.events.js';
import type { MetricsClient } from '../../core/metrics.port.js';
import type { Policy } from '../../core/policy.port.js';
import type { CacheOptions } from '../cache.options.js';
import { SecondTierMetrics, type SecondTierOperation } from './second-tier.metrics.js';
import type { Refusals, SecondTierStore } from './second-tier.store.js';
import { SecondTierTimeout, StoreLiveness } from './store-liveness.js';
import { bytesOf, type QueuedWrite, WriteQueue } from './write-queue.js';

export interface SecondTierCollaborators {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly events: MeshEvents;
  readonly metrics: MetricsClient;
  readonly contexts: CallContexts;
  readonly policy: Policy;
  readonly options: LiveOptions<CacheOptions>;
}

/** How many writes go out together. */
const BATCH = 100;
/** How large a batch may be, in bytes: what has to leave in `writeTimeoutMs` over a slow network, too. */
const BATCH_BYTES = 1_024 * 1_024;
/** How long a shutdown waits for what is queued, in milliseconds. */
const DRAIN_MS = 2_000;
/** How long a connection may leave everything unanswered, in milliseconds: then it is no better than none. */
const SILENCE_MS = 2_000;
/** Two, as reads ask for several: a node of Redis Cluster, which refuses that, is not there for us. */
export const PROBE_KEYS = ['mesh:probe', 'mesh:probe:several'];

/**
 * The guard around the second tier. A read waits once and at most `readTimeoutMs`, and not at all while the store is
 * away; writes go out in the background. Away is where the circuit breaker or several failures in a row put it, and only
 * a probe of its own, once every `probeMs`, brings it back, so that no caller's request is spent on finding out.
 */
export class SecondTier {
  readonly #queue: WriteQueue;
  readonly #metrics: SecondTierMetrics;
  readonly #liveness: StoreLiveness;
  #unsubscribe: readonly (() => void)[] = [];
  #state: 'closed' | 'connecting' | 'up' | 'away' = 'closed';
  #reason = '';
  /** What the store said to invalidations that wait for it. */
  #refusal: { readonly reason: unknown } | undefined;
  #drainLeftMs = DRAIN_MS;
  #probe: Timer | undefined;
  #retry: Timer | undefined;
  #flushing: Promise<void> | undefined;

  constructor(
    private readonly store: SecondTierStore,
    private readonly deps: SecondTierCollaborators,
  ) {
    this.#metrics = new SecondTierMetrics(deps.metrics);
    this.#liveness = new StoreLiveness(deps.clock);
    this.#queue = new WriteQueue(
      () => deps.options.current.secondTier,
      (write) => {
        this.#metrics.dropped.inc();
        write.onDrop?.();
      },
    );
  }

  get metrics(): SecondTierMetrics {
    return this.#metrics;
  }

  open(): void {
    if (this.#state !== 'closed') return;
    this.#state = 'connecting';
    const { events, metrics, policy } = this.deps;
    this.#unsubscribe = [
      metrics.onCollect(() => {
        this.#metrics.queued.set(this.#queue.size);
        this.#metrics.up.set(this.#state === 'up' ? 1 : 0);
      }),
      // At once, and not at the next read: after `openMs` the breaker would let that one try, and wait.
      events.on('breaker.transition', ({ policy: name, to }) => {
        if (name === policy.name && (to === 'open' || to === 'isolated')) this.#leave();
      }),
    ];
    // Who does not connect in the time of a probe is away.
    this.#probe = this.deps.clock.setTimer(() => {
      this.#reason ||= 'not connected yet';
      this.#leave();
    }, this.deps.options.current.secondTier.probeMs);
    this.store.open(
      () => this.#onReady(),
      (error) => {
        if (this.#state !== 'up') this.#reason = messageOf(error);
      },
    );
  }

  /**
   * What `work` makes of the store, or `undefined` when the store is away or all of it does not come in time. Never
   * rejects for the store's sake.
   */
  async read<T>(work: (read: SecondTierStore['read']) => Promise<T>): Promise<T | undefined> {
    if (this.#state !== 'up') return undefined;
    const { readTimeoutMs } = this.deps.options.current.secondTier;
    try {
      return await this.#run('read', readTimeoutMs, () => work((keys) => this.store.read(keys)));
    } catch {
      // Counted by #run; the caller goes on without the second tier.
      return undefined;
    }
  }

  /** Writes in the background, as soon as the store takes it. */
  write(write: QueuedWrite): void {
    if (this.#state === 'closed') return;
    this.#queue.push(write);
    this.#flush();
  }

  /** While the store takes what is written, waits until it has caught up: at most `readTimeoutMs`, as a read. */
  async room(): Promise<void> {
    const flushing = this.#flushing;
    if (!flushing || this.#state !== 'up' || !this.#queue.isCrowded) return;
    await this.#bounded(this.deps.options.current.secondTier.readTimeoutMs, () => flushing).catch(() => undefined);
  }

  /** What waits to be written under the key; without a text, that the key is removed. */
  pending(key: string): QueuedWrite | undefined {
    return this.#queue.get(key);
  }

  readHealth(): HealthReport {
    const details = { queued: this.#queue.size };
    const reason =
      this.#state === 'away'
        ? `the second tier is away (${this.#reason}); memory and factories answer`
        : this.#refusal &&
          `the second tier refuses what was deleted or replaced (${messageOf(this.#refusal.reason)}); others may read it there still`;
    return reason === undefined ? { status: 'up', details } : { status: 'degraded', reason, details };
  }

  /** Waits until nothing is queued, for at most {@link DRAIN_MS} in all its calls and not beyond the signal. */
  async drain(signal?: AbortSignal): Promise<void> {
    const { clock } = this.deps;
    const startedAt = clock.monotonic();
    const endAt = startedAt + this.#drainLeftMs;
    const waiting = (): boolean => this.#queue.size > 0 && this.#state === 'up' && !signal?.aborted;
    while (waiting() && clock.monotonic() < endAt) {
      this.#flush();
      await Promise.race([this.#flushing, clock.sleep(50, signal).catch(() => undefined)]);
    }
    this.#drainLeftMs -= clock.monotonic() - startedAt;
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#probe?.cancel();
    this.#retry?.cancel();
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    await this.store.close();
  }

  #flush(): void {
    if (this.#flushing || this.#state !== 'up') return;
    // Outside the call that happened to write: the flush serves others too, and outlives its deadline.
    this.#flushing = this.deps.contexts
      .exit(() => this.#writeBatches())
      .finally(() => {
        this.#flushing = undefined;
      });
  }

  async #writeBatches(): Promise<void> {
    const { clock, options } = this.deps;
    // What one call writes goes out together.
    await Promise.resolve();
    for (;;) {
      const batch = this.#queue.batch(BATCH, BATCH_BYTES, clock.monotonic());
      if (batch.length === 0 || this.#state !== 'up') return;
      try {
        const { writeTimeoutMs } = options.current.secondTier;
        const refused = await this.#run('write', writeTimeoutMs, () => this.#write(batch));
        this.#queue.confirm(batch.filter(({ key }) => !refused.has(key)));
        const returned = batch.filter(({ key }) => refused.has(key));
        if (returned.length > 0) this.#metrics.failed('write', 'error');
        this.#queue.refuse(returned);
        const isInvalidation = ({ kind }: QueuedWrite): boolean => kind !== 'value';
        const waiting = returned.find(isInvalidation);
        if (batch.some(isInvalidation)) this.#refusal = waiting && { reason: refused.get(waiting.key) };
        if (!waiting) continue;
      } catch (error) {
        // Counted by #run. What was not written stays queued, but for what is too large to ever leave in time.
        if (error instanceof SecondTierTimeout && bytesOf(batch) > BATCH_BYTES) this.#queue.refuse(batch);
      }
      this.#retryLater();
      return;
    }
  }

  /** What the store refused, while it answers otherwise. */
  async #write(batch: readonly QueuedWrite[]): Promise<Refusals> {
    const outdated = await this.#voidOf(batch.filter(({ kind }) => kind !== 'value'));
    const due = outdated.size === 0 ? batch : batch.filter((write) => !outdated.has(write));
    if (due.length === 0) return new Map();
    const refused = await this.store.write(due).catch(async (error: unknown) => {
      // It is the store's failure if it does not answer this either.
      await this.store.read(PROBE_KEYS);
      return new Map(due.map(({ key }) => [key, error] as const));
    });
    const dead = await this.#voidOf(due.filter(({ kind, key }) => kind === 'value' && !refused.has(key)));
    if (dead.size > 0) await this.store.write([...dead].map(({ key }) => ({ key, text: undefined, ttlMs: 0 })));
    return refused;
  }

  /** Those of the writes that what the store holds makes void. */
  async #voidOf(writes: readonly QueuedWrite[]): Promise<ReadonlySet<QueuedWrite>> {
    const judged = writes.flatMap((write) => (write.unless ? [{ write, unless: write.unless }] : []));
    if (judged.length === 0) return new Set();
    const held = await this.store.read(judged.map(({ unless }) => unless.key));
    return new Set(
      judged.filter(({ unless }, i) => held[i] !== undefined && unless.holds(held[i])).map(({ write }) => write),
    );
  }

  #retryLater(): void {
    if (this.#state !== 'up' || this.#retry) return;
    this.#retry = this.deps.clock.setTimer(() => {
      this.#retry = undefined;
      this.#flush();
    }, this.deps.options.current.secondTier.retryMs);
  }

  async #run<T>(op: SecondTierOperation, limitMs: number, work: () => Promise<T>): Promise<T> {
    const { clock, policy } = this.deps;
    const startedAt = clock.monotonic();
    try {
      // Bounded twice: inside, so that the breaker counts a hang as a failure; outside, whatever else the policy waits for.
      const result = await this.#bounded(limitMs, () => policy.execute(() => this.#attempt(limitMs, work)));
      this.#metrics.succeeded(op, clock.monotonic() - startedAt);
      return result;
    } catch (error) {
      const refused = isMeshError(error, 'MESH_CIRCUIT_OPEN') || isMeshError(error, 'MESH_CIRCUIT_ISOLATED');
      this.#metrics.failed(op, refused ? 'refused' : error instanceof SecondTierTimeout ? 'timeout' : 'error');
      if (refused && op !== 'probe') this.#leave();
      throw error;
    }
  }

  /** Knows why it failed before the policy does, which may open the breaker over it. */
  async #attempt<T>(limitMs: number, work: () => Promise<T>): Promise<T> {
    const startedAt = this.deps.clock.monotonic();
    try {
      const result = await this.#bounded(limitMs, work);
      this.#liveness.succeeded();
      return result;
    } catch (error) {
      this.#reason = messageOf(error);
      this.#liveness.failed(error, startedAt);
      if (this.#liveness.isLost(this.deps.options.current.secondTier.readTimeoutMs)) this.#leave();
      throw error;
    }
  }

  #bounded<T>(limitMs: number, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.deps.clock.setTimer(() => reject(new SecondTierTimeout(limitMs)), limitMs);
      work()
        .then(resolve, reject)
        .finally(() => timer.cancel());
    });
  }

  /** A new connection: what waited for it goes out now, and a probe need not wait its turn. */
  #onReady(): void {
    if (this.#state === 'closed') return;
    if (this.#state === 'away') return this.#ask();
    this.#state = 'up';
    for (const timer of [this.#probe, this.#retry]) timer?.cancel();
    this.#retry = undefined;
    this.#watch();
    this.#flush();
  }

  /** Finds out that the store is away where nobody asks it, or too few for the breaker to open. */
  #watch(): void {
    this.#probe?.cancel();
    this.#probe = this.deps.contexts.exit(() =>
      this.deps.clock.setTimer(() => {
        const { probeMs, readTimeoutMs } = this.deps.options.current.secondTier;
        if (this.#liveness.hasAnsweredWithin(probeMs)) return this.#watch();
        void this.#run('probe', readTimeoutMs, () => this.store.read(PROBE_KEYS)).then(
          () => this.#state === 'up' && this.#watch(),
          () => this.#leaveOrWatch(),
        );
      }, this.deps.options.current.secondTier.probeMs),
    );
  }

  #leaveOrWatch(): void {
    if (this.#state !== 'up') return;
    if (this.#liveness.isFailingFor(SILENCE_MS)) this.#leave();
    else this.#watch();
  }

  #leave(): void {
    if (this.#state !== 'up' && this.#state !== 'connecting') return;
    this.#state = 'away';
    this.#probe?.cancel();
    this.deps.events.emit('cache.second-tier', { state: 'away', reason: this.#reason, queued: this.#queue.size });
    this.deps.contexts.exit(() => this.#scheduleProbe());
  }

  #scheduleProbe(limitMs = Infinity): void {
    const { clock, ids, options } = this.deps;
    const { probeMs } = options.current.secondTier;
    this.#probe = clock.setTimer(() => this.#ask(), Math.min(limitMs, probeMs * (0.9 + 0.2 * ids.random())));
  }

  #ask(): void {
    this.#probe?.cancel();
    const { readTimeoutMs } = this.deps.options.current.secondTier;
    this.#run('probe', readTimeoutMs, () => this.store.read(PROBE_KEYS)).then(
      () => this.#comeBack(),
      (error: unknown) => {
        this.#probe?.cancel();
        this.#endSilence();
        // Refused by the breaker, nobody was asked: that is made up for as soon as it may be.
        if (this.#state === 'away') this.#scheduleProbe(isMeshError(error) ? error.retryAfterMs : undefined);
      },
    );
  }

  #endSilence(): void {
    if (this.#state !== 'away' || !this.#liveness.isSilentFor(SILENCE_MS)) return;
    this.#liveness.renewed();
    this.store.reconnect?.();
  }

  #comeBack(): void {
    if (this.#state !== 'away') return;
    this.#state = 'up';
    this.deps.events.emit('cache.second-tier', {
      state: 'up',
      reason: 'a probe was answered',
      queued: this.#queue.size,
    });
    this.#watch();
    this.#flush();
  }
}
