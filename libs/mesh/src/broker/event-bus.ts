import type {
  DeadLetter,
  MessageHandler,
  PublishOptions,
  PublishReceipt,
  SubscribeOptions,
} from '../core/broker.port.js';
import type { CallContext } from '../core/call-context.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { Counter } from '../core/metrics.port.js';
import { OverloadedError } from './broker.errors.js';
import { UNSERVED, type BrokerMetrics } from './broker.metrics.js';
import { DeadLetterQueue } from './dead-letters.js';
import { EventSubscription, type Delivery, type Settlement, type SubscriptionHost } from './event-subscription.js';
import { DeliveredMessage, KEY_HEADER } from './delivered.message.js';
import { Topic } from './topic.js';

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

type BusHost = Omit<SubscriptionHost, 'onDeadLetter' | 'onStop' | 'onStopped'>;

/** Topics, their subscriptions in this process, and the dead letters that are kept in its memory. */
export class EventBus {
  readonly #host: SubscriptionHost;
  readonly #metrics: BrokerMetrics;
  readonly #topics = new Map<string, Topic>();
  readonly #subscriptions = new Set<EventSubscription>();
  readonly #deadLetters = new Map<string, DeadLetterQueue>();
  readonly #published = new Map<string, Counter>();
  #handledByFormer = 0;
  readonly #unserved: Counter;

  constructor(host: BusHost, metrics: BrokerMetrics) {
    this.#metrics = metrics;
    this.#unserved = metrics.counter(UNSERVED, 'publish', 'unserved');
    this.#host = {
      ...host,
      onDeadLetter: (letter, settlement) => this.#onDeadLetter(letter, settlement),
      onStop: (subscription) => this.#onStop(subscription),
      onStopped: (subscription) => this.#onStopped(subscription),
    };
  }

  get subscriptions(): ReadonlySet<EventSubscription> {
    return this.#subscriptions;
  }

  /** Handlers at work. */
  get running(): number {
    let running = 0;
    for (const subscription of this.#subscriptions) running += subscription.running.size;
    return running;
  }

  /** Messages that wait, for their turn or for their next delivery. */
  get queued(): number {
    let queued = 0;
    for (const subscription of this.#subscriptions) queued += subscription.queued;
    return queued;
  }

  /** Whether nothing runs, and nothing waits that may run. */
  get isIdle(): boolean {
    return this.running === 0 && (this.queued === 0 || !this.#host.isConsuming());
  }

  /** What runs and what waits, for the report of a drain that ran out of time. */
  unfinished(): { readonly name: string; readonly ageMs: number }[] {
    const { clock } = this.#host;
    return [...this.#subscriptions].flatMap((subscription) => [
      ...[...subscription.running].map(({ name, startedAt }) => ({ name, ageMs: clock.monotonic() - startedAt })),
      ...subscription
        .waiting()
        .map(({ message }) => ({ name: subscription.name, ageMs: clock.now() - message.publishedAt })),
    ]);
  }

  /** Deliveries that ended, well or not, since the beginning. */
  get handled(): number {
    let handled = this.#handledByFormer;
    for (const subscription of this.#subscriptions) handled += subscription.handled;
    return handled;
  }

  get deadLetterCount(): number {
    let count = 0;
    for (const queue of this.#deadLetters.values()) count += queue.size;
    return count;
  }

  /** Which subscription can take no more, and why; `undefined` while all have room. */
  get noRoom(): string | undefined {
    for (const { hasRoom, name, topic, queued } of this.#subscriptions)
      if (!hasRoom) return `"${name}" has no room for another message of "${topic}": ${queued} wait`;
    return undefined;
  }

  publish(topic: string, payload: unknown, options: PublishOptions): PublishReceipt {
    const receivers = this.#topics.get(topic)?.receivers() ?? [];
    const full = receivers.find((receiver) => !receiver.hasRoom);
    if (full) {
      this.#metrics.counter(topic, 'publish', 'refused').inc();
      throw new OverloadedError(
        `A message for "${topic}"`,
        full.maxQueued,
        `messages wait for its subscriber "${full.name}"`,
      );
    }
    const id = options.id ?? this.#host.ids.next();
    if (receivers.length === 0) {
      this.#unserved.inc();
      return { id, receivers: 0 };
    }
    const { key, headers: own = NO_HEADERS } = options;
    const headers = key === undefined ? own : { ...own, [KEY_HEADER]: key };
    const delivery: Delivery = {
      message: new DeliveredMessage({ id, topic, payload, headers, publishedAt: this.#host.clock.now(), attempt: 1 }),
      context: this.#contextOf(id),
    };
    for (const receiver of receivers) receiver.accept(delivery);
    this.#countPublished(topic);
    return { id, receivers: receivers.length };
  }

  /** @throws {MeshConfigError} for a second one of a name: they would share dead letters, and on a server messages, unknowingly. */
  subscribe(
    topic: string,
    handler: MessageHandler<never>,
    options: SubscribeOptions & { readonly name: string },
  ): EventSubscription {
    const { name } = options;
    const namesake = this.#topics.get(topic)?.find(name);
    if (namesake && (!options.group || namesake.group !== options.group))
      throw new MeshConfigError(
        `Two subscriptions to "${topic}" are named "${name}" and would be taken for one another; give one of them a name, or both a group.`,
        { topic, name },
      );
    const handling = { handler, options, metrics: this.#metrics.delivery(topic) };
    const subscription = new EventSubscription(topic, name, this.#host, handling);
    const known = this.#topics.get(topic) ?? new Topic();
    this.#topics.set(topic, known);
    known.add(subscription);
    this.#subscriptions.add(subscription);
    return subscription;
  }

  deadLetters(topic: string): DeadLetterQueue {
    let queue = this.#deadLetters.get(topic);
    if (!queue) this.#deadLetters.set(topic, (queue = new DeadLetterQueue((letter) => this.#redeliver(letter))));
    return queue;
  }

  /** The work goes on, but nobody waits for it: the publisher's deadline does not bind its subscribers. */
  #contextOf(messageId: string): CallContext {
    const current = this.#host.contexts.current();
    if (!current) return { correlationId: messageId };
    const { correlationId, traceparent, tracestate } = current;
    return {
      correlationId,
      ...(traceparent !== undefined && { traceparent }),
      ...(tracestate !== undefined && { tracestate }),
    };
  }

  #countPublished(topic: string): void {
    let counter = this.#published.get(topic);
    if (!counter) this.#published.set(topic, (counter = this.#metrics.counter(topic, 'publish', 'ok')));
    counter.inc();
  }

  #redeliver({ message, handler }: DeadLetter): boolean {
    const subscription = this.#topics.get(message.topic)?.find(handler);
    if (!subscription?.hasRoom) return false;
    subscription.accept({
      message: new DeliveredMessage({ ...message, attempt: 1 }),
      context: this.#contextOf(message.id),
    });
    return true;
  }

  async #onDeadLetter(letter: DeadLetter, settlement: Settlement | undefined): Promise<void> {
    const { message, handler, attempts, error } = letter;
    const { topic, id: messageId } = message;
    if (settlement && !(await settlement.deadLetter(letter))) return;
    const kept =
      settlement !== undefined ||
      this.deadLetters(topic).add(letter, this.#host.options.current.subscribe.maxDeadLetters);
    this.#host.events.emit('broker.dead-lettered', { topic, handler, messageId, attempts, kept, error });
  }

  #onStop(subscription: EventSubscription): void {
    const topic = this.#topics.get(subscription.topic);
    topic?.remove(subscription);
    if (topic?.isEmpty) this.#topics.delete(subscription.topic);
  }

  #onStopped(subscription: EventSubscription): void {
    if (this.#subscriptions.delete(subscription)) this.#handledByFormer += subscription.handled;
  }
}
