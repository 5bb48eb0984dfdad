import type { AsyncMessage, Channel, Envelope } from 'rabbitmq-client';
import type { DeadLetter } from '../../core/broker.port.js';
import type { Clock } from '../../core/clock.js';
import { deadLetterHeaders } from '../transport/dead-letter-headers.js';
import type { EventSettlement, IncomingEvent } from '../transport/transport-driver.port.js';
import type { QueueNames } from './queue-names.js';
import type { RabbitMqSession } from './rabbitmq-session.js';
import { ATTEMPT, bodyOf, bytesOf, DEAD_QUEUE, DELIVERIES, lastingHeaders, propertiesOf } from './rabbitmq.message.js';
import type { DeliveredOn } from './restored-consumer.js';

/** Pause before a message whose redelivery or dead letter could not be stored is taken up again. */
const AGAIN_MS = 1_000;
/** How often a server may hand over a message: who gives up is the broker. RabbitMQ 4 would drop it after 20. */
const NO_DELIVERY_LIMIT = 2_000_000_000;
/** Retry queues that nobody needs any more leave after a day. */
const FORGET_RETRIES_MS = 86_400_000;
/** Declaring keeps a queue alive, the messages in it don't. */
const DECLARE_AGAIN_MS = 3_600_000;

interface StoredParts {
  readonly clock: Clock;
  readonly names: QueueNames;
  readonly session: () => RabbitMqSession;
  /** Aborts when the driver stops. */
  readonly ending: AbortSignal;
}

interface Delivery {
  readonly message: AsyncMessage;
  readonly delivered: DeliveredOn;
  readonly queue: string;
  readonly topic: string;
}

/** The queues that keep messages until they are handled, and what becomes of the messages. */
export class StoredEvents {
  readonly #parts: StoredParts;
  readonly #declaredAt = new Map<string, number>();

  constructor(parts: StoredParts) {
    this.#parts = parts;
  }

  /** The queue of a group; of a subscription that shares with nobody when it is to `expire`. */
  async declare(
    channel: Channel,
    { queue, topic, expireMs }: { readonly queue: string; readonly topic: string; readonly expireMs?: number },
  ): Promise<{ readonly queue: string; readonly messageCount: number }> {
    const { names } = this.#parts;
    const declared = await channel.queueDeclare(quorum(queue, expireMs === undefined ? {} : { 'x-expires': expireMs }));
    await channel.queueBind({ queue, exchange: names.events, routingKey: names.key(topic) });
    return declared;
  }

  /** Takes the queue of a subscription that shared with nobody away, and its retries: nobody else handles what is left. */
  async leave(channel: Channel, queue: string): Promise<void> {
    const retries = [...this.#declaredAt.keys()].filter((name) => name.startsWith(`${queue}.retry.`));
    for (const name of [queue, ...retries]) {
      this.#declaredAt.delete(name);
      await channel.queueDelete({ queue: name });
    }
  }

  incoming(event: Pick<IncomingEvent, 'id' | 'headers' | 'body' | 'publishedAt'>, delivery: Delivery): IncomingEvent {
    // The header counts our own redeliveries, the server those after a crash.
    const redelivered: unknown = delivery.message.headers?.[DELIVERIES];
    const attempt = (Number(event.headers[ATTEMPT]) || 1) + (typeof redelivered === 'number' ? redelivered : 0);
    return { ...event, attempt, settle: this.#settlement(event, delivery, attempt) };
  }

  async ensureDead(topic: string): Promise<string> {
    const queue = this.#parts.names.dead(topic);
    await this.#parts.session().declare(quorum(queue));
    return queue;
  }

  #settlement(event: Pick<IncomingEvent, 'id' | 'headers'>, delivery: Delivery, attempt: number): EventSettlement {
    const { delivered, message } = delivery;
    const { deliveryTag } = message;
    const again = async (later: { readonly delayMs: number; readonly attempt: number }): Promise<void> => {
      if (later.delayMs <= 0) return delivered.giveBack(deliveryTag);
      await this.#orAgain(delivery, this.#storeForLater(event, delivery, later));
      delivered.ack(deliveryTag);
    };
    return {
      ack: async () => delivered.ack(deliveryTag),
      retry: (delayMs) => again({ delayMs, attempt: attempt + 1 }),
      putOff: (delayMs) => again({ delayMs, attempt }),
      deadLetter: async (letter) => {
        await this.#orAgain(delivery, this.#storeDead(event, delivery, letter));
        delivered.ack(deliveryTag);
      },
    };
  }

  /**
   * Into the queue that lets go of it after `delayMs`, back to its own. A queue serves delays up to twice its shortest one:
   * a message can't overtake the one before it, so it may be late by as much.
   */
  async #storeForLater(
    { id, headers }: Pick<IncomingEvent, 'id' | 'headers'>,
    { queue, topic, message }: Delivery,
    { delayMs, attempt }: { readonly delayMs: number; readonly attempt: number },
  ): Promise<void> {
    const upToMs = 2 ** Math.ceil(Math.log2(Math.max(delayMs, 2)));
    const retryQueue = await this.#ensureRetry(queue, upToMs);
    const body = bodyOf(message);
    const properties = propertiesOf({ id, body, headers: { ...lastingHeaders(headers), [ATTEMPT]: String(attempt) } });
    const envelope = { ...properties, routingKey: retryQueue, expiration: String(Math.ceil(delayMs)) };
    await this.#store(envelope, bytesOf(body), topic);
  }

  async #ensureRetry(queue: string, upToMs: number): Promise<string> {
    const { names, clock, session } = this.#parts;
    const retryQueue = names.retry(queue, upToMs);
    const now = clock.monotonic();
    const declaredAt = this.#declaredAt.get(retryQueue) ?? -Infinity;
    if (now - declaredAt > DECLARE_AGAIN_MS) {
      session().forget(retryQueue);
      this.#declaredAt.set(retryQueue, now);
    }
    await session().declare(
      quorum(retryQueue, {
        'x-expires': upToMs + FORGET_RETRIES_MS,
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': queue,
        // The way back is confirmed as well; the server asks for the second to give the first.
        'x-dead-letter-strategy': 'at-least-once',
        'x-overflow': 'reject-publish',
      }),
    );
    return retryQueue;
  }

  async #storeDead(
    { id, headers }: Pick<IncomingEvent, 'id' | 'headers'>,
    { queue, topic, message }: Delivery,
    letter: DeadLetter,
  ): Promise<void> {
    const dead = await this.ensureDead(topic);
    const body = bodyOf(message);
    const sent = { ...lastingHeaders(headers), ...deadLetterHeaders(letter), [DEAD_QUEUE]: queue };
    await this.#store({ ...propertiesOf({ id, body, headers: sent }), routingKey: dead }, bytesOf(body), topic);
  }

  async #store(envelope: Envelope & { readonly routingKey: string }, body: Buffer, topic: string): Promise<void> {
    const session = this.#parts.session();
    try {
      await session.store(envelope, body, topic);
    } catch (error) {
      // Perhaps somebody has deleted the queue.
      session.forget(envelope.routingKey);
      throw error;
    }
  }

  /** The server keeps the message for this consumer until its channel closes: it is given back, a little later. */
  async #orAgain({ delivered, message: { deliveryTag } }: Delivery, work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      const { clock, ending } = this.#parts;
      clock.sleep(AGAIN_MS, ending).then(
        () => delivered.channel.active && delivered.giveBack(deliveryTag),
        // The driver stops, which gives everything back.
        () => undefined,
      );
      throw error;
    }
  }
}

function quorum(queue: string, more: Readonly<Record<string, unknown>> = {}) {
  return {
    queue,
    durable: true,
    arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': NO_DELIVERY_LIMIT, ...more },
  } as const;
}
