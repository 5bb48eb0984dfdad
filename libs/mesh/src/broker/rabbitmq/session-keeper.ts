import type { Connection } from 'rabbitmq-client';
import type { Clock, Timer } from '../../core/clock.js';
import type { Ids } from '../../core/ids.js';
import { atMost } from '../transport/at-most.js';
import { LagLoop } from '../transport/lag-loop.js';
import { ERROR } from '../transport/message-headers.js';
import type { DriverHost } from '../transport/transport-driver.port.js';
import { RabbitMqSession } from './rabbitmq-session.js';
import { bodyOf } from './rabbitmq.message.js';
import type { RestoredConsumer } from './restored-consumer.js';

/** Pause before a session or a consumer is opened again on a connection that is there. */
const AGAIN_MS = 500;
/** How long consumers are waited for after a reconnect, before everything else goes on without them. */
const RESTORE_MS = 5_000;

interface KeeperParts {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly host: DriverHost;
  readonly connection: Connection;
  /** The exchange of all events, declared first. */
  readonly exchange: string;
  /** Aborts when the driver stops. */
  readonly ending: AbortSignal;
}

/** Keeps a session and all consumers open for as long as the driver runs. The client keeps the connection. */
export class SessionKeeper {
  readonly #parts: KeeperParts;
  readonly #consumers = new Set<RestoredConsumer>();
  readonly #measuring: LagLoop;
  #session: RabbitMqSession | undefined;
  #isOpening = false;
  #again: Timer | undefined;

  constructor(parts: KeeperParts) {
    this.#parts = parts;
    this.#measuring = new LagLoop(parts.clock, () => this.#measure());
    this.#measuring.start();
  }

  /** @throws while there is none. */
  get session(): RabbitMqSession {
    if (!this.#session) throw new Error('The connection to RabbitMQ is not open.');
    return this.#session;
  }

  /** Everything that can be is restored before anybody is told: what is published then arrives. */
  async open(): Promise<void> {
    const { clock, connection, exchange, host, ending } = this.#parts;
    if (this.#isOpening || this.#session || ending.aborted) return;
    this.#isOpening = true;
    let session: RabbitMqSession | undefined;
    try {
      session = await RabbitMqSession.open(connection, {
        onReply: (message) =>
          host.onReply(message.correlationId ?? '', {
            ok: message.headers?.[ERROR] === undefined,
            body: bodyOf(message),
          }),
        onUnroutable: ({ correlationId }) => host.onNoResponder(correlationId ?? ''),
        onClosed: (closed, reason) => this.#onClosed(closed, reason),
      });
      await session.onOwnChannel((channel) => channel.exchangeDeclare({ exchange, type: 'direct', durable: true }));
      this.#session = session;
      const restored = Promise.all([...this.#consumers].map((consumer) => this.#restore(consumer)));
      // A queue without a leader keeps its consumer waiting; the others do not wait for it.
      if (!(await atMost(clock, RESTORE_MS, restored)))
        host.onFailure('a subscription', new Error(`a queue does not answer after ${RESTORE_MS} ms; it is waited for`));
      if (this.#session !== session || !session.isOpen) throw new Error('the connection broke while it was set up');
      host.onConnected();
    } catch (error) {
      host.onFailure('the connection', error);
      this.#session = undefined;
      void session?.close();
      this.#openLater();
    } finally {
      this.#isOpening = false;
    }
  }

  /** Opens the consumer, and again whenever its channel or the connection breaks. */
  async add(consumer: RestoredConsumer): Promise<void> {
    this.#consumers.add(consumer);
    try {
      await consumer.open();
    } catch (error) {
      this.#consumers.delete(consumer);
      await consumer.close();
      throw error;
    }
  }

  /** A little later, unless the whole connection is away: then with it. */
  openAgain(consumer: RestoredConsumer, reason: unknown): void {
    const { clock, host, connection, ending } = this.#parts;
    if (ending.aborted || !connection.ready) return;
    host.onFailure(consumer.name, reason);
    clock.sleep(this.#pauseMs(), ending).then(
      () => this.#session && void this.#restore(consumer),
      // The driver stops.
      () => undefined,
    );
  }

  /** Lets out what is written. */
  async close(): Promise<void> {
    this.#again?.cancel();
    this.#measuring.stop();
    await Promise.all([...this.#consumers].map((consumer) => consumer.close()));
    await this.#session?.close();
  }

  #onClosed(session: RabbitMqSession, reason: string): void {
    const { ending, host } = this.#parts;
    if (this.#session !== session) return;
    this.#session = undefined;
    if (ending.aborted) return;
    host.onDisconnected(reason);
    // What is left of it ends as well; the connection itself may be well.
    void session.close();
    this.#openLater();
  }

  #openLater(): void {
    const { clock, connection, ending } = this.#parts;
    if (ending.aborted) return;
    this.#again?.cancel();
    this.#again = clock.setTimer(() => {
      // A connection that is away opens the session itself when it is back.
      if (connection.ready) void this.open();
    }, this.#pauseMs());
  }

  async #restore(consumer: RestoredConsumer): Promise<void> {
    if (consumer.isStopped) return void this.#consumers.delete(consumer);
    await consumer.open().catch((error: unknown) => this.openAgain(consumer, error));
  }

  /** What is wrong with a consumer's channel is told elsewhere. */
  async #measure(): Promise<void> {
    for (const consumer of this.#consumers) if (consumer.isStopped) this.#consumers.delete(consumer);
    await Promise.allSettled([...this.#consumers].map((consumer) => consumer.measure()));
  }

  /** Jittered, so that a fleet does not come back as one. */
  #pauseMs(): number {
    return Math.round(AGAIN_MS * (0.5 + this.#parts.ids.random()));
  }
}
