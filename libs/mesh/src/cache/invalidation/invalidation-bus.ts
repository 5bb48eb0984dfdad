import type { MessageBroker, Subscription } from '../../core/broker.port.js';
import type { CallContexts } from '../../core/call-context.js';
import type { Clock, Timer } from '../../core/clock.js';
import type { HealthReport } from '../../core/health.port.js';
import type { MeshEvents } from '../../core/mesh.events.js';
import { messageOf } from '../../core/message-of.js';
import type { Counter, MetricsClient } from '../../core/metrics.port.js';
import {
  BUS_BATCH_MS,
  BUS_BATCH_SIZE,
  BUS_HEARTBEAT_MS,
  BUS_MAX_PENDING,
  BUS_PUBLISH_TIMEOUT_MS,
} from '../cache.constants.js';
import { type Invalidation, type InvalidationMessage, invalidationMessageSchema } from './invalidation.message.js';
import { PeerLog } from './peer-log.js';

export interface InvalidationBusCollaborators {
  readonly broker: MessageBroker;
  readonly clock: Clock;
  readonly contexts: CallContexts;
  readonly events: MeshEvents;
  readonly metrics: MetricsClient;
  readonly topic: string;
  readonly instance: string;
  readonly epoch: string;
  apply(change: Invalidation): void;
  /** Something was missed: nothing in memory may be taken for fresh. */
  distrustAll(): void;
  /** The others can't be heard or told any more, or can again; what they said meanwhile may be lost. */
  onReachable(isReachable: boolean): void;
}

/**
 * Tells the other instances what was invalidated here, and hears it from them. A message that gets lost, or could not be
 * sent, leaves a gap in the sequence; whoever sees the gap trusts nothing that it holds. A heartbeat shows the gap where
 * no further message would. While the broker is away, it is known that nothing is heard, and the values' freshness is
 * limited; after that, nothing is trusted.
 */
export class InvalidationBus {
  readonly #peers = new PeerLog();
  readonly #sent: Counter;
  readonly #received: Counter;
  readonly #gaps: Counter;
  readonly #failures: Counter;
  readonly #pending = new Map<string, Invalidation>();
  #sequence = 0;
  #batch: Timer | undefined;
  #heartbeat: Timer | undefined;
  #subscription: Subscription | undefined;
  #sending: Promise<void> | undefined;
  /** Why the last message did not leave. */
  #failure: string | undefined;
  /** Why the broker has no connection. */
  #disconnected: string | undefined;
  #isReachable = true;
  #unsubscribe: () => void = () => undefined;

  constructor(private readonly deps: InvalidationBusCollaborators) {
    const counter = (name: string, help: string): Counter => deps.metrics.counter({ name, help }).with({});
    this.#sent = counter('mesh_cache_bus_sent_total', 'Invalidations sent to other instances.');
    this.#received = counter('mesh_cache_bus_received_total', 'Invalidations received from other instances.');
    this.#gaps = counter('mesh_cache_bus_gaps_total', 'Times that messages of another instance were missing.');
    this.#failures = counter('mesh_cache_bus_failures_total', 'Messages to other instances that could not be sent.');
  }

  async start(): Promise<void> {
    this.#unsubscribe = this.deps.events.on('broker.connection', ({ state, reason }) => {
      this.#disconnected = state === 'away' ? reason : undefined;
      this.#tellReachable();
    });
    this.#subscription = await this.deps.broker.subscribe(
      this.deps.topic,
      (payload) => this.#receive(payload),
      // Every instance hears everything, in order. A message that failed here is seen as a gap: no repeat needed.
      { name: 'mesh-cache', group: false, concurrency: 1, maxDeliver: 1 },
    );
  }

  /** Sends the change with the others of the next few milliseconds; the newest of a key is enough. */
  announce(change: Invalidation): void {
    if (!this.#subscription) return;
    const id = idOf(change);
    // The newest goes last: who hears of two changes of a key must hear of them in their order.
    this.#pending.delete(id);
    this.#pending.set(id, change);
    if (this.#pending.size > BUS_MAX_PENDING) this.#giveUpPending();
    else if (this.#pending.size >= BUS_BATCH_SIZE) this.#flush();
    else this.#batch ??= this.#later(BUS_BATCH_MS, () => this.#flush());
  }

  readHealth(): HealthReport {
    const problem = this.#disconnected ?? this.#failure;
    if (problem === undefined) return { status: 'up' };
    return {
      status: 'degraded',
      reason: `invalidations do not reach other instances (${problem}); values in memory stay fresh for 5 s at most`,
    };
  }

  /** Sends what is pending and stops listening. */
  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#flush();
    this.#heartbeat?.cancel();
    const subscription = this.#subscription;
    this.#subscription = undefined;
    await this.#sending;
    await subscription?.stop();
  }

  #flush(): void {
    this.#batch?.cancel();
    this.#batch = undefined;
    if (this.#pending.size === 0) return;
    this.#heartbeat ??= this.#later(BUS_HEARTBEAT_MS, () => this.#beat());
    this.#sending ??= this.deps.contexts
      .exit(() => this.#sendPending())
      .finally(() => {
        this.#sending = undefined;
      });
  }

  /** One message after the other: a transport may not keep the order of those that are sent together. */
  async #sendPending(): Promise<void> {
    while (this.#pending.size > 0) {
      const changes = [...this.#pending.values()].slice(0, BUS_BATCH_SIZE);
      for (const change of changes) this.#pending.delete(idOf(change));
      this.#sequence++;
      this.#sent.inc(changes.length);
      // Not repeated: the number it used up tells the others that they missed something. What waited behind it as well.
      if (!(await this.#publish(changes))) this.#pending.clear();
    }
  }

  #giveUpPending(): void {
    this.#pending.clear();
    this.#sequence++;
    this.#failures.inc();
  }

  #beat(): void {
    if (!this.#sending) void this.deps.contexts.exit(() => this.#publish([]));
    this.#heartbeat = this.#later(BUS_HEARTBEAT_MS, () => this.#beat());
  }

  async #publish(changes: Invalidation[]): Promise<boolean> {
    const { instance, epoch, broker, topic } = this.deps;
    const message: InvalidationMessage = { version: 1, instance, epoch, sequence: this.#sequence, changes };
    try {
      await broker.publish(topic, message, { timeoutMs: BUS_PUBLISH_TIMEOUT_MS });
      this.#failure = undefined;
      return true;
    } catch (error) {
      this.#failures.inc();
      this.#failure = messageOf(error);
      return false;
    } finally {
      this.#tellReachable();
    }
  }

  #tellReachable(): void {
    const isReachable = this.#failure === undefined && this.#disconnected === undefined;
    if (isReachable === this.#isReachable) return;
    this.#isReachable = isReachable;
    this.deps.onReachable(isReachable);
  }

  #receive(payload: unknown): void {
    const parsed = invalidationMessageSchema.safeParse(payload);
    // Another version: it may invalidate what this one can't read.
    if (!parsed.success) return this.#distrust();
    const { instance, epoch, sequence, changes } = parsed.data;
    if (instance === this.deps.instance && epoch === this.deps.epoch) return;
    // A heartbeat is no message of its own: the next one will be.
    const from = changes.length > 0 ? sequence : sequence + 1;
    if (this.#peers.misses(instance, epoch, from, sequence)) this.#distrust();
    this.#received.inc(changes.length);
    for (const change of changes) this.deps.apply(change);
  }

  #distrust(): void {
    this.#gaps.inc();
    this.deps.distrustAll();
  }

  #later(delayMs: number, callback: () => void): Timer {
    return this.deps.contexts.exit(() => this.deps.clock.setTimer(callback, delayMs));
  }
}

function idOf(change: Invalidation): string {
  const what = change.op === 'tag' ? change.tag : change.op === 'clear' ? '' : change.key;
  return JSON.stringify([change.op, change.namespace, what]);
}
