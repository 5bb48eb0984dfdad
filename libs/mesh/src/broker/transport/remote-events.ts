import type {
  MessageHandler,
  PublishOptions,
  PublishReceipt,
  SubscribeOptions,
  Subscription,
} from '../../core/broker.port.js';
import type { LiveOptions } from '../../core/live-options.js';
import type { Counter } from '../../core/metrics.port.js';
import type { BrokerCollaborators } from '../broker-collaborators.js';
import { OverloadedError, PublishUnconfirmedError } from '../broker.errors.js';
import type { BrokerMetrics } from '../broker.metrics.js';
import type { RemoteBrokerOptions } from '../broker.options.js';
import type { DedupeStore } from '../dedupe/dedupe.store.js';
import { EventBus } from '../event-bus.js';
import { groupOf, nameOf, prepareHandler } from '../handler-preparation.js';
import { conforming } from '../payload-schema.js';
import { assertPublishes } from './capabilities.js';
import { eventIntake } from './event-intake.js';
import { IntakeSlot } from './intake-slot.js';
import { assertHeaders, assertId, contextHeaders, HEADER, passedOn } from './message-headers.js';
import { Outbox } from './outbox.js';
import { encodePayload } from './payload.codec.js';
import type { TransportDriver } from './transport-driver.port.js';

interface RemoteEventsParts extends Omit<BrokerCollaborators, 'metrics'> {
  readonly driver: TransportDriver;
  readonly metrics: BrokerMetrics;
  readonly dedupe: DedupeStore;
  readonly isConnected: () => boolean;
  /** Opens the intake of a new subscription, at once or when the server is back. */
  readonly open: (slot: IntakeSlot) => Promise<void>;
  readonly isConsuming: () => boolean;
  readonly isDraining: () => boolean;
  readonly onIdle: () => void;
}

/** The publish-subscribe half of a broker with a server: what goes out waits in the outbox, what comes in in the bus. */
export class RemoteEvents {
  readonly bus: EventBus;
  readonly outbox: Outbox;
  /** The intakes of this process's subscriptions. */
  readonly slots = new Set<IntakeSlot>();
  readonly #options: LiveOptions<RemoteBrokerOptions>;
  readonly #parts: RemoteEventsParts;
  readonly #published = new Map<string, Counter>();

  constructor(options: LiveOptions<RemoteBrokerOptions>, parts: RemoteEventsParts) {
    this.#options = options;
    this.#parts = parts;
    this.bus = new EventBus({ ...parts, options }, parts.metrics);
    this.outbox = new Outbox({ ...parts, options });
  }

  /** Messages that wait on the server for this service. */
  get lag(): number {
    let lag = 0;
    for (const slot of this.slots) lag += slot.lag;
    return lag;
  }

  async publish(topic: string, payload: unknown, options: PublishOptions): Promise<PublishReceipt> {
    const { contexts, clock, driver, ids } = this.#parts;
    const { guarantee = 'sent', schema, id = ids.next(), timeoutMs = this.#options.current.requestTimeoutMs } = options;
    assertPublishes(driver, topic, options);
    assertId(id, topic);
    if (schema) await conforming(schema, payload, `The message for "${topic}"`);
    const message = { id, name: topic, headers: this.#headers(topic, options), body: encodePayload(payload) };
    const leftMs = Math.min(timeoutMs, (contexts.current()?.deadlineAt ?? Infinity) - clock.now());
    if (!(leftMs > 0))
      throw new PublishUnconfirmedError({ topic, id }, 'unsent', { reason: 'there is no time left to wait for it' });
    await this.#counted(topic, () => this.outbox.publish(message, guarantee, leftMs));
    return { id };
  }

  async subscribe(topic: string, handler: MessageHandler<never>, options: SubscribeOptions): Promise<Subscription> {
    const { events, metrics, driver, service, dedupe: store, open } = this.#parts;
    const name = nameOf(handler, options);
    const own = { ...options, name };
    const prepared = prepareHandler(topic, handler, own, { events, metrics, options: this.#options, service, store });
    const subscription = this.bus.subscribe(topic, prepared, own);
    const dropped = metrics.counter(topic, 'deliver', 'dropped');
    const take = eventIntake(subscription, { transport: driver.name, events, dropped });
    const spec = {
      topic,
      group: options.group === false ? (false as const) : groupOf(name, options.group, service),
      durable: options.guarantee === 'atLeastOnce',
      replay: options.replay ?? false,
      concurrency: options.concurrency ?? this.#options.current.subscribe.concurrency,
    };
    const slot = new IntakeSlot(`messages of "${topic}"`, () => driver.consume(spec, take));
    this.slots.add(slot);
    const stop = async (): Promise<void> => {
      this.slots.delete(slot);
      await slot.stop();
      await subscription.stop();
    };
    try {
      await open(slot);
    } catch (error) {
      await stop();
      throw error;
    }
    return { topic, stop };
  }

  #headers(topic: string, { headers, key }: PublishOptions): Record<string, string> {
    const { contexts, clock, service } = this.#parts;
    const sent = contextHeaders(headers && passedOn(headers), contexts.current());
    sent[HEADER.source] = `${service.name}/${service.instance}`;
    sent[HEADER.sentAt] = String(clock.now());
    if (key !== undefined) sent[HEADER.key] = key;
    assertHeaders(sent, `the message for "${topic}"`);
    return sent;
  }

  async #counted(topic: string, publish: () => Promise<void>): Promise<void> {
    const { metrics } = this.#parts;
    try {
      await publish();
    } catch (error) {
      metrics.counter(topic, 'publish', error instanceof OverloadedError ? 'refused' : 'failed').inc();
      throw error;
    }
    let counter = this.#published.get(topic);
    if (!counter) this.#published.set(topic, (counter = metrics.counter(topic, 'publish', 'ok')));
    counter.inc();
  }
}
