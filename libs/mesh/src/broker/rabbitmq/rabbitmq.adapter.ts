import type { AsyncMessage, Connection } from 'rabbitmq-client';
import type { DeadLetters } from '../../core/broker.port.js';
import type { Clock } from '../../core/clock.js';
import type { Ids } from '../../core/ids.js';
import { messageOf } from '../../core/message-of.js';
import type { ServiceInfo } from '../../core/service-info.js';
import type { RabbitMqBrokerOptions } from '../broker.options.js';
import { atMost } from '../transport/at-most.js';
import { loadClient } from '../transport/load-client.js';
import { ERROR, HEADER } from '../transport/message-headers.js';
import { assertSize } from '../transport/payload-limit.js';
import { StoredDeadLetters } from '../transport/stored-dead-letters.js';
import {
  FORGET_OWN_MS,
  type ConsumeSpec,
  type DriverHost,
  type IncomingEvent,
  type IncomingRequest,
  type Intake,
  type OutgoingMessage,
  type OutgoingRequest,
  type TransportCapabilities,
  type TransportDriver,
} from '../transport/transport-driver.port.js';
import { connectionOptions, serverNames } from './connection-options.js';
import { declarePlain, passingQueue } from './plain-events.js';
import { QueueNames } from './queue-names.js';
import { RabbitMqLetterStore } from './rabbitmq-letter-store.js';
import { assertHeadersFit, bodyOf, bytesOf, envelopeOf, headersOf, idOf, propertiesOf } from './rabbitmq.message.js';
import { type ConsumerParts, RestoredConsumer } from './restored-consumer.js';
import { SessionKeeper } from './session-keeper.js';
import { StoredEvents } from './stored-events.js';

const CLOSE_MS = 2_000;

interface DriverParts {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly service: ServiceInfo;
}

interface Opened {
  readonly connection: Connection;
  readonly keeper: SessionKeeper;
}

/**
 * RabbitMQ: a queue for each pattern, one for each group of a topic, and one for each topic's dead letters, with publisher
 * confirms. The client is loaded only when RabbitMQ is configured.
 */
export class RabbitMqDriver implements TransportDriver {
  readonly name = 'rabbitmq';
  readonly capabilities: TransportCapabilities = {
    confirmed: true,
    durable: true,
    groups: true,
    broadcast: true,
    replay: false,
    headers: true,
    noResponder: true,
  };
  readonly #options: RabbitMqBrokerOptions;
  readonly #parts: DriverParts;
  readonly #names: QueueNames;
  readonly #stored: StoredEvents;
  readonly #ending = new AbortController();
  #Client!: typeof Connection;
  #host: DriverHost | undefined;
  #open: Opened | undefined;
  #looking: Promise<unknown> = Promise.resolve();

  constructor(options: RabbitMqBrokerOptions, parts: DriverParts) {
    this.#options = options;
    this.#parts = parts;
    this.#names = new QueueNames(options.namePrefix);
    this.#stored = new StoredEvents({
      clock: parts.clock,
      names: this.#names,
      session: () => this.#opened.keeper.session,
      ending: this.#ending.signal,
    });
  }

  async load(): Promise<void> {
    const { Connection: Client } = await loadClient(
      () => import('rabbitmq-client'),
      'broker.transport "rabbitmq" needs its client',
      'rabbitmq-client@5',
    );
    this.#Client = Client;
  }

  async start(host: DriverHost, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const started = Promise.withResolvers<void>();
    let failure: unknown;
    const told = (this.#host = {
      ...host,
      onConnected: () => {
        host.onConnected();
        started.resolve();
      },
      onFailure: (what: string, error: unknown) => {
        failure = error;
        host.onFailure(what, error);
      },
    });
    const { clock, ids, service } = this.#parts;
    const connection = new this.#Client(connectionOptions(this.#options, `${service.name}/${service.instance}`));
    const { signal: ending } = this.#ending;
    const keeper = new SessionKeeper({ clock, ids, connection, host: told, exchange: this.#names.events, ending });
    this.#open = { connection, keeper };
    connection.on('error', (error: Error) => {
      told.onFailure('the connection', error);
      // Known already, unless it is the first attempt that failed.
      told.onDisconnected(error.message);
    });
    connection.on('connection', () => void keeper.open());
    connection.on('connection.blocked', (reason) =>
      told.onFailure('the connection', new Error(`RabbitMQ takes nothing for now: ${reason}`)),
    );
    const onAbort = (): void => {
      const why = failure === undefined ? 'no answer' : messageOf(failure);
      started.reject(
        new Error(`No connection to RabbitMQ at ${serverNames(this.#options)}: ${why}`, { cause: failure }),
      );
      void this.stop();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    await started.promise.finally(() => signal.removeEventListener('abort', onAbort));
  }

  request({ id, name, headers, timeoutMs, body }: OutgoingRequest): void {
    this.#assertSize(body);
    assertHeadersFit(headers);
    const envelope = envelopeOf(body, headers);
    envelope.correlationId = id;
    // Nobody waits for it any longer; a queue without consumers drops it then.
    envelope.expiration = String(timeoutMs);
    this.#opened.keeper.session
      .request(this.#names.request(name), envelope, bytesOf(body))
      .catch((error: unknown) => this.#host?.onRequestFailed(id, messageOf(error)));
  }

  async publish(message: OutgoingMessage, guarantee: 'sent' | 'confirmed'): Promise<void> {
    const { name, body } = message;
    const routing = { exchange: this.#names.events, routingKey: this.#names.key(name) };
    this.#assertSize(body);
    const envelope = { ...propertiesOf(message), ...routing };
    assertHeadersFit(envelope.headers);
    if (guarantee === 'confirmed') await this.#opened.keeper.session.store(envelope, bytesOf(body), name);
    else await this.#opened.keeper.session.publish(envelope, bytesOf(body), name);
  }

  async serve(pattern: string, onRequest: (request: IncomingRequest) => void): Promise<Intake> {
    return this.#consume(
      new RestoredConsumer({
        name: `requests of "${pattern}"`,
        connection: this.#opened.connection,
        declare: (channel) => channel.queueDeclare(passingQueue(this.#names.request(pattern))),
        onMessage: (message) => onRequest(this.#incoming(message)),
        onLost: (consumer, reason) => this.#opened.keeper.openAgain(consumer, reason),
      }),
    );
  }

  async consume(spec: ConsumeSpec, onEvent: (event: IncomingEvent) => void): Promise<Intake> {
    return this.#consume(
      new RestoredConsumer({
        name: `messages of "${spec.topic}"`,
        connection: this.#opened.connection,
        onLost: (consumer, reason) => this.#opened.keeper.openAgain(consumer, reason),
        ...(spec.durable ? this.#storedConsumer(spec, onEvent) : this.#plainConsumer(spec, onEvent)),
      }),
    );
  }

  deadLetters(topic: string): DeadLetters {
    const store = new RabbitMqLetterStore({
      topic,
      queue: this.#names.dead(topic),
      session: () => this.#opened.keeper.session,
      ensureQueue: () => this.#stored.ensureDead(topic),
      exclusively: (work) => {
        const done = this.#looking.then(work);
        this.#looking = done.catch(() => undefined);
        return done;
      },
    });
    return new StoredDeadLetters(topic, store);
  }

  async stop(): Promise<void> {
    if (this.#ending.signal.aborted) return;
    this.#ending.abort(new Error('The connection to RabbitMQ is closed.'));
    if (!this.#open) return;
    const { connection, keeper } = this.#open;
    const closed = keeper.close().then(() => connection.close());
    // A hung server answers nothing: what was written stays written, and the socket is closed.
    await atMost(this.#parts.clock, connection.ready ? CLOSE_MS : 0, closed);
    connection.unsafeDestroy();
  }

  get #opened(): Opened {
    if (!this.#open) throw new Error('The connection to RabbitMQ is not open.');
    return this.#open;
  }

  async #consume(consumer: RestoredConsumer): Promise<Intake> {
    await this.#opened.keeper.add(consumer);
    return {
      stop: () => consumer.stop(),
      get lag() {
        return consumer.lag;
      },
    };
  }

  #plainConsumer({ topic, group }: ConsumeSpec, onEvent: (event: IncomingEvent) => void) {
    return {
      declare: (channel) => declarePlain(channel, this.#names, { topic, group }),
      onMessage: (message) => onEvent({ ...this.#event(message), attempt: 1 }),
    } satisfies Partial<ConsumerParts>;
  }

  #storedConsumer({ topic, group, concurrency }: ConsumeSpec, onEvent: (event: IncomingEvent) => void) {
    const isOwn = group === false;
    const queue = this.#names.stored(topic, isOwn ? `own.${this.#parts.ids.next()}` : group);
    return {
      prefetch: concurrency,
      declare: (channel) => this.#stored.declare(channel, { queue, topic, ...(isOwn && { expireMs: FORGET_OWN_MS }) }),
      ...(isOwn && { leave: (channel) => this.#stored.leave(channel, queue) }),
      onMessage: (message, delivered) =>
        onEvent(this.#stored.incoming(this.#event(message), { message, delivered, queue, topic })),
    } satisfies Partial<ConsumerParts>;
  }

  #incoming(message: AsyncMessage): IncomingRequest {
    const { replyTo, correlationId, expiration } = message;
    return {
      ...(correlationId !== undefined && { id: correlationId }),
      ...(expiration !== undefined && { timeoutMs: Number(expiration) }),
      headers: headersOf(message),
      body: bodyOf(message),
      reply: async ({ ok, body }) => {
        if (replyTo === undefined) return;
        this.#assertSize(body);
        const envelope = envelopeOf(body, ok ? undefined : { [ERROR]: '1' });
        if (correlationId !== undefined) envelope.correlationId = correlationId;
        await this.#opened.keeper.session.reply(replyTo, envelope, bytesOf(body));
      },
    };
  }

  #event(message: AsyncMessage): Omit<IncomingEvent, 'attempt' | 'settle'> {
    const headers = headersOf(message);
    const { clock, ids } = this.#parts;
    const sentAt = Number(headers[HEADER.sentAt]) || (message.timestamp ?? 0) * 1_000;
    return { id: idOf(message) ?? ids.next(), headers, body: bodyOf(message), publishedAt: sentAt || clock.now() };
  }

  /** A larger one would close the channel, and everything on it. */
  #assertSize(body: OutgoingMessage['body']): void {
    const raise = 'the limit here and on the server';
    assertSize(body, this.#options.maxMessageBytes, { takes: 'broker.maxMessageBytes allows', raise });
  }
}
