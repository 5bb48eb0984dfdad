import type { MessageBroker, Subscription } from '../../core/broker.port.js';
import type { CallContexts } from '../../core/call-context.js';
import type { Clock, Timer } from '../../core/clock.js';
import type { HealthReport } from '../../core/health.port.js';
import type { Counter, MetricsClient } from '../../core/metrics.port.js';
import { BUS_BATCH_MS, BUS_BATCH_SIZE, BUS_HEARTBEAT_MS } from '../cache.constants.js';
import { type Invalidation, type InvalidationMessage, invalidationMessageSchema } from './invalidation.message.js';
import { PeerLog } from './peer-log.js';

export interface InvalidationBusCollaborators {
  readonly broker: MessageBroker;
  readonly clock: Clock;
  readonly contexts: CallContexts;
  readonly metrics: MetricsClient;
  readonly topic: string;
  readonly instance: string;
  readonly epoch: string;
  apply(change: Invalidation): void;
  /** Something was missed: nothing in memory may be taken for fresh. */
  distrustAll(): void;
}

/**
 * Tells the other instances what was invalidated here, and hears it from them. A message that gets lost, or could not be
 * sent, leaves a gap in the sequence; whoever sees the gap trusts nothing that it holds. A heartbeat shows the gap where
 * no further message would.
 */
export class InvalidationBus {
  readonly #peers = new PeerLog();
  readonly #sent: Counter;
  readonly #received: Counter;
  readonly #gaps: Counter;
  readonly #failures: Counter;
  #pending = new Map<string, Invalidation>();
  #sequence = 0;
  #batch: Timer | undefined;
  #heartbeat: Timer | undefined;
  #subscription: Subscription | undefined;
  #problem: string | undefined;
  #sending: Promise<void> = Promise.resolve();

  constructor(private readonly deps: InvalidationBusCollaborators) {
    const counter = (name: string, help: string): Counter => deps.metrics.counter({ name, help }).with({});
    this.#sent = counter('mesh_cache_bus_sent_total', 'Invalidations sent to other instances.');
    this.#received = counter('mesh_cache_bus_received_total', 'Invalidations received from other instances.');
    this.#gaps = counter('mesh_cache_bus_gaps_total', 'Times that messages of another instance were missing.');
    this.#failures = counter('mesh_cache_bus_failures_total', 'Messages to other instances that could not be sent.');
  }

  async start(): Promise<void> {
    this.#subscription = await this.deps.broker.subscribe(
      this.deps.topic,
      (payload) => this.#receive(payload),
      // Every instance hears everything, in order. A message that failed here is seen as a gap: no repeat needed.
      { name: 'mesh-cache', group: `mesh-cache.${this.deps.epoch}`, concurrency: 1, maxDeliver: 1 },
    );
  }

  /** Sends the change with the others of the next few milliseconds; the newest of a key is enough. */
  announce(change: Invalidation): void {
    if (!this.#subscription) return;
    this.#pending.set(idOf(change), change);
    if (this.#pending.size >= BUS_BATCH_SIZE) this.#flush();
    else this.#batch ??= this.#later(BUS_BATCH_MS, () => this.#flush());
  }

  readHealth(): HealthReport {
    if (this.#problem === undefined) return { status: 'up' };
    return {
      status: 'degraded',
      reason: `invalidations do not reach other instances (${this.#problem}); they notice at the next message`,
    };
  }

  /** Sends what is pending and stops listening. */
  async stop(): Promise<void> {
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
    const changes = [...this.#pending.values()];
    this.#pending = new Map();
    this.#sequence++;
    this.#sent.inc(changes.length);
    this.#send(changes);
    this.#heartbeat ??= this.#later(BUS_HEARTBEAT_MS, () => this.#beat());
  }

  #beat(): void {
    this.#send([]);
    this.#heartbeat = this.#later(BUS_HEARTBEAT_MS, () => this.#beat());
  }

  /** One after the other: a transport may not keep the order of messages that are sent together. */
  #send(changes: Invalidation[]): void {
    const { instance, epoch, broker, topic } = this.deps;
    const message: InvalidationMessage = { version: 1, instance, epoch, sequence: this.#sequence, changes };
    this.#sending = this.#sending.then(async () => {
      try {
        await broker.publish(topic, message);
        this.#problem = undefined;
      } catch (error) {
        // Not repeated: the number it used up tells the others that they missed something.
        this.#failures.inc();
        this.#problem = error instanceof Error ? error.message : String(error);
      }
    });
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
