import type { AsyncMessage, Channel, Connection, Envelope, MethodParams, Cmd, ReturnedMessage } from 'rabbitmq-client';
import { messageOf } from '../../core/message-of.js';
import { PublishUnconfirmedError } from '../broker.errors.js';
import { idOf } from './rabbitmq.message.js';
import { WriteBatch } from './write-batch.js';

type QueueDeclaration = MethodParams[Cmd.QueueDeclare] & { readonly queue: string };

/** The server's own address for answers: it lives as long as the channel, and needs no queue. */
const REPLIES = 'amq.rabbitmq.reply-to';

interface SessionParts {
  readonly onReply: (message: AsyncMessage) => void;
  /** A request came back: no queue has its name. */
  readonly onUnroutable: (message: ReturnedMessage) => void;
  /** Once. Whatever was on its way has an unknown outcome. */
  readonly onClosed: (session: RabbitMqSession, reason: string) => void;
}

/**
 * What one connection carries beside its consumers: a channel for requests and their answers, one for messages that the
 * server confirms. It ends with the first of them, and another one takes its place.
 */
export class RabbitMqSession {
  readonly #connection: Connection;
  readonly #asking: Channel;
  readonly #confirming: Channel;
  readonly #batch: WriteBatch;
  readonly #returned = new Set<string>();
  readonly #declared = new Map<string, Promise<unknown>>();
  #reason = 'the connection was closed';

  private constructor(connection: Connection, asking: Channel, confirming: Channel) {
    this.#connection = connection;
    this.#asking = asking;
    this.#confirming = confirming;
    this.#batch = new WriteBatch(connection);
  }

  static async open(connection: Connection, parts: SessionParts): Promise<RabbitMqSession> {
    const asking = await connection.acquire({ emitErrorsFromChannel: true });
    const confirming = await connection.acquire({ emitErrorsFromChannel: true });
    const session = new RabbitMqSession(connection, asking, confirming);
    try {
      session.#watch(parts);
      await confirming.confirmSelect();
      await asking.basicConsume({ queue: REPLIES, noAck: true }, parts.onReply);
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  get isOpen(): boolean {
    return this.#asking.active && this.#confirming.active;
  }

  /** @throws when the channel is closed: it was not sent then. */
  request(queue: string, envelope: Envelope, body: Buffer): Promise<void> {
    if (!this.#asking.active) throw new Error('the channel is closed');
    envelope.routingKey = queue;
    envelope.replyTo = REPLIES;
    envelope.mandatory = true;
    this.#batch.begin();
    return this.#asking.basicPublish(envelope, body);
  }

  reply(to: string, envelope: Envelope, body: Buffer): Promise<void> {
    envelope.routingKey = to;
    this.#batch.begin();
    return this.#asking.basicPublish(envelope, body);
  }

  /**
   * Resolves when the server has it.
   * @throws {PublishUnconfirmedError} when a queue refused it. Offered again, it would be doubled in those that took it.
   */
  async publish(envelope: Envelope, body: Buffer, topic: string): Promise<void> {
    this.#batch.begin();
    try {
      await this.#confirming.basicPublish(envelope, body);
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== 'NACK') throw error;
      const reason = 'a queue of RabbitMQ refused it, perhaps because it is full';
      const outcome = envelope.exchange ? 'unknown' : 'unsent';
      throw new PublishUnconfirmedError({ topic, id: idOf(envelope) }, outcome, { reason, cause: error });
    }
  }

  /**
   * Resolves when every queue that it was routed to has stored it.
   * @throws {PublishUnconfirmedError} when there is no such queue - the server would confirm and forget it - or one refused it.
   */
  async store(envelope: Envelope, body: Buffer, topic: string): Promise<void> {
    await this.publish({ ...envelope, durable: true, mandatory: true }, body, topic);
    // What comes back comes before the confirmation, but the client tells it a turn later.
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#returned.delete(returnKey(envelope)))
      throw new PublishUnconfirmedError({ topic, id: idOf(envelope) }, 'unsent', {
        reason: `RabbitMQ has no queue for it (${envelope.exchange || 'default exchange'}, ${envelope.routingKey}); start a service with an atLeastOnce subscription first`,
      });
  }

  /** Declares the queue once in this session. A failure leaves the other channels alone, and the next call tries again. */
  declare(queue: QueueDeclaration): Promise<unknown> {
    let declared = this.#declared.get(queue.queue);
    if (!declared) {
      declared = this.onOwnChannel((channel) => channel.queueDeclare(queue));
      this.#declared.set(queue.queue, declared);
      declared.catch(() => this.#declared.delete(queue.queue));
    }
    return declared;
  }

  /** Declared again by its next user: somebody has deleted it. */
  forget(queue: string): void {
    this.#declared.delete(queue);
  }

  /** For work that may fail: a refusal closes the channel that it was asked on. */
  async onOwnChannel<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    const channel = await this.#connection.acquire({ emitErrorsFromChannel: true });
    // It rejects what waits on the channel as well.
    channel.on('error', () => undefined);
    try {
      return await work(channel);
    } finally {
      await channel.close();
    }
  }

  /** Lets out what is written. */
  async close(): Promise<void> {
    await Promise.all([this.#asking.close(), this.#confirming.close()]);
  }

  #watch({ onUnroutable, onClosed }: SessionParts): void {
    let isOver = false;
    const onClose = (): void => {
      if (isOver) return;
      isOver = true;
      onClosed(this, this.#reason);
    };
    for (const channel of [this.#asking, this.#confirming]) {
      channel.on('error', (error: unknown) => (this.#reason = messageOf(error)));
      channel.on('close', onClose);
    }
    this.#asking.on('basic.return', onUnroutable);
    this.#confirming.on('basic.return', (message) => this.#returned.add(returnKey(message)));
  }
}

function returnKey(message: Envelope | ReturnedMessage): string {
  return `${message.routingKey} ${idOf(message)}`;
}
