import type { AsyncMessage, Channel, Connection } from 'rabbitmq-client';
import type { Intake } from '../transport/transport-driver.port.js';

/** A queue that leaves with its last consumer can be gone between being declared and being consumed. */
const OPEN_TRIES = 5;

export interface ConsumerParts {
  /** What it takes: `messages of "orders"`. */
  readonly name: string;
  readonly connection: Connection;
  /** Messages handed over and not yet settled, at most; absent: the server forgets what it has handed over. */
  readonly prefetch?: number;
  /** Declares the queue and what it is bound to. */
  readonly declare: (channel: Channel) => Promise<{ readonly queue: string; readonly messageCount: number }>;
  readonly onMessage: (message: AsyncMessage, delivered: DeliveredOn) => void;
  /** What is left to do on the server when it was stopped and everything is settled. Best effort. */
  readonly leave?: (channel: Channel) => Promise<unknown>;
  /** The channel broke, or the queue is gone; the consumer wants to be opened again. */
  readonly onLost: (consumer: RestoredConsumer, reason: unknown) => void;
}

/** The channel that a message came over: the only one on which it can be settled. */
export class DeliveredOn {
  readonly channel: Channel;
  readonly #onSettled: () => void;
  #unsettled = 0;

  constructor(channel: Channel, onSettled: () => void) {
    this.channel = channel;
    this.#onSettled = onSettled;
  }

  get unsettled(): number {
    return this.#unsettled;
  }

  begin(): void {
    this.#unsettled++;
  }

  /** @throws when the channel is closed: the server delivers the message again. */
  ack(deliveryTag: number): void {
    this.channel.basicAck({ deliveryTag });
    this.#settled();
  }

  /** @throws when the channel is closed: the server delivers the message again. */
  giveBack(deliveryTag: number): void {
    this.channel.basicNack({ deliveryTag, requeue: true });
    this.#settled();
  }

  #settled(): void {
    this.#unsettled--;
    this.#onSettled();
  }
}

/** A consumer on a channel of its own, so that what the server refuses it leaves the others alone. */
export class RestoredConsumer implements Intake {
  readonly #parts: ConsumerParts;
  #current: { readonly delivered: DeliveredOn; readonly consumerTag: string; readonly queue: string } | undefined;
  #opening: Promise<void> | undefined;
  #lag = 0;
  #stopped = false;

  constructor(parts: ConsumerParts) {
    this.#parts = parts;
  }

  get name(): string {
    return this.#parts.name;
  }

  get isStopped(): boolean {
    return this.#stopped;
  }

  get lag(): number {
    return this.#lag;
  }

  /** Once, however many ask: a second consumer would take messages of its own. */
  open(): Promise<void> {
    this.#opening ??= this.#openUntilFound().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  /** Takes no more. The channel stays until what was handed over is settled. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const { delivered, consumerTag } = this.#current ?? {};
    if (!delivered || consumerTag === undefined || !delivered.channel.active) return;
    // A connection that breaks meanwhile ends the consumer as well.
    await delivered.channel.basicCancel({ consumerTag }).catch(() => undefined);
    this.#closeWhenSettled(delivered);
  }

  /** At once: what is not settled goes back to the queue. */
  async close(): Promise<void> {
    this.#stopped = true;
    await this.#current?.delivered.channel.close();
  }

  /** Asks how many messages wait. */
  async measure(): Promise<void> {
    const { delivered, queue } = this.#current ?? {};
    if (!delivered?.channel.active || queue === undefined || this.#stopped) return;
    const { messageCount } = await delivered.channel.queueDeclare({ queue, passive: true });
    this.#lag = messageCount;
  }

  async #openUntilFound(): Promise<void> {
    for (let tries = 1; !this.#stopped && !this.#current; tries++) {
      try {
        await this.#openOnce();
      } catch (error) {
        if ((error as { readonly code?: unknown }).code !== 'NOT_FOUND' || tries === OPEN_TRIES) throw error;
      }
    }
  }

  async #openOnce(): Promise<void> {
    const { connection, prefetch, declare, onMessage } = this.#parts;
    const channel = await connection.acquire({ emitErrorsFromChannel: true });
    let reason: unknown = 'its channel was closed';
    channel.on('error', (error: unknown) => (reason = error));
    const delivered: DeliveredOn = new DeliveredOn(channel, () => this.#closeWhenSettled(delivered));
    try {
      const { queue, messageCount } = await declare(channel);
      if (prefetch !== undefined) await channel.basicQos({ prefetchCount: prefetch });
      const { consumerTag } = await channel.basicConsume({ queue, noAck: prefetch === undefined }, (message) => {
        if (prefetch !== undefined) delivered.begin();
        onMessage(message, delivered);
      });
      if (prefetch !== undefined) this.#lag = messageCount;
      this.#current = { delivered, consumerTag, queue };
    } catch (error) {
      await channel.close();
      throw error;
    }
    channel.once('close', () => this.#onClosed(delivered, reason));
    channel.on('basic.cancel', (_tag: string, error: unknown) => {
      reason = error;
      void channel.close();
    });
    if (this.#stopped) await this.stop();
  }

  #onClosed(delivered: DeliveredOn, reason: unknown): void {
    if (this.#current?.delivered !== delivered) return;
    this.#current = undefined;
    this.#lag = 0;
    if (!this.#stopped) this.#parts.onLost(this, reason);
  }

  #closeWhenSettled(delivered: DeliveredOn): void {
    if (this.#stopped && delivered.unsettled === 0) void this.#leave(delivered.channel);
  }

  async #leave(channel: Channel): Promise<void> {
    await this.#parts.leave?.(channel).catch(() => undefined);
    await channel.close();
  }
}
