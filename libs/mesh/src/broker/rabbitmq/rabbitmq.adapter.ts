import { readFileSync } from 'node:fs';
import type { AsyncMessage, Connection, ConnectionOptions } from 'rabbitmq-client';
import type { DeadLetters } from '../../core/broker.port.js';
import type { Clock, Timer } from '../../core/clock.js';
import type { Ids } from '../../core/ids.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import type { ServiceInfo } from '../../core/service-info.js';
import { PayloadError } from '../broker.errors.js';
import type { RabbitMqBrokerOptions } from '../broker.options.js';
import { HEADER } from '../transport/message-headers.js';
import type {
  ConsumeSpec,
  DriverHost,
  IncomingEvent,
  IncomingRequest,
  Intake,
  OutgoingMessage,
  TransportCapabilities,
  TransportDriver,
  WireBody,
} from '../transport/transport-driver.port.js';
import { QueueNames } from './queue-names.js';
import { deadLettersOf } from './rabbitmq-dead-letters.js';
import { RabbitMqSession } from './rabbitmq-session.js';
import { bodyOf, bytesOf, ERROR, headersOf, idOf, propertiesOf } from './rabbitmq.message.js';
import { RestoredConsumer } from './restored-consumer.js';
import { StoredEvents } from './stored-events.js';

const FIRST_RECONNECT_MS = 100;
const LONGEST_RECONNECT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 5_000;
const CLOSE_MS = 2_000;
/** Pause before a session or a consumer is opened again on a connection that is there. */
const AGAIN_MS = 500;
const MEASURE_MS = 5_000;
/** The server's own default; the client's is 8 KiB, which large messages would be cut into. */
const FRAME_BYTES = 131_072;
/** How long queues without consumers and without a promise to keep anything stay, after a crash. */
const FORGET_EMPTY_MS = 60_000;
/** After how long without its instance the queue of a subscription that shares with nobody is forgotten. */
const FORGET_OWN_QUEUE_MS = 300_000;

interface DriverParts {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly service: ServiceInfo;
}

/**
 * RabbitMQ: a queue for each pattern, one for each group of a topic, and one for each topic's dead letters, with publisher
 * confirms. The client is imported only here, and only when RabbitMQ is configured.
 */
export class RabbitMqDriver implements TransportDriver {
  readonly name = 'rabbitmq';
  readonly capabilities: TransportCapabilities = {
    confirmed: true,
    durable: true,
    groups: true,
    broadcast: true,
    headers: true,
    noResponder: true,
  };
  readonly #options: RabbitMqBrokerOptions;
  readonly #parts: DriverParts;
  readonly #names: QueueNames;
  readonly #stored: StoredEvents;
  readonly #consumers = new Set<RestoredConsumer>();
  readonly #ending = new AbortController();
  #host: DriverHost | undefined;
  #connection: Connection | undefined;
  #session: RabbitMqSession | undefined;
  #isOpening = false;
  #again: Timer | undefined;
  #measuring: Timer | undefined;
  #looking: Promise<unknown> = Promise.resolve();

  constructor(options: RabbitMqBrokerOptions, parts: DriverParts) {
    this.#options = options;
    this.#parts = parts;
    this.#names = new QueueNames(options.namePrefix);
    this.#stored = new StoredEvents({
      clock: parts.clock,
      names: this.#names,
      session: () => this.#opened,
      ending: this.#ending.signal,
    });
  }

  async start(host: DriverHost, signal: AbortSignal): Promise<void> {
    const Client = await loadClient();
    signal.throwIfAborted();
    const started = Promise.withResolvers<void>();
    let failure: unknown;
    this.#host = {
      ...host,
      onConnected: () => {
        host.onConnected();
        started.resolve();
      },
      onFailure: (what, error) => {
        failure = error;
        host.onFailure(what, error);
      },
    };
    const connection = (this.#connection = new Client(this.#connectionOptions()));
    connection.on('error', (error: unknown) => this.#host?.onFailure('the connection', error));
    connection.on('connection', () => void this.#openSession(connection));
    connection.on('connection.blocked', (reason) =>
      this.#host?.onFailure('the connection', new Error(`RabbitMQ takes nothing for now: ${reason}`)),
    );
    const onAbort = (): void => {
      const why = failure instanceof Error ? failure.message : 'no answer';
      started.reject(new Error(`No connection to RabbitMQ at ${this.#where}: ${why}`, { cause: failure }));
      connection.unsafeDestroy();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    await started.promise.finally(() => signal.removeEventListener('abort', onAbort));
    this.#measure();
  }

  request({ id, name, headers, body }: OutgoingMessage): void {
    const envelope = {
      ...this.#properties({ id, headers, body }),
      correlationId: id,
      // Nobody waits for it any longer; a queue without consumers drops it then.
      expiration: headers[HEADER.timeoutMs] ?? String(this.#options.requestTimeoutMs),
    };
    this.#opened
      .request(this.#names.request(name), envelope, bytesOf(body))
      .catch((error: unknown) => this.#host?.onRequestFailed(id, (error as Error).message));
  }

  async publish(message: OutgoingMessage, guarantee: 'sent' | 'confirmed'): Promise<void> {
    const { name, body } = message;
    const routing = { exchange: this.#names.events, routingKey: this.#names.key(name) };
    const envelope = { ...this.#properties(message), ...routing };
    if (guarantee === 'confirmed') await this.#opened.store(envelope, bytesOf(body), name);
    else await this.#opened.publish(envelope, bytesOf(body));
  }

  async serve(pattern: string, onRequest: (request: IncomingRequest) => void): Promise<Intake> {
    return this.#consume(
      new RestoredConsumer({
        connection: this.#connected,
        declare: (channel) => channel.queueDeclare(passing(this.#names.request(pattern))),
        onMessage: (message) => onRequest(this.#incoming(message)),
        onLost: (consumer, reason) => this.#onLost(consumer, `requests of "${pattern}"`, reason),
      }),
    );
  }

  async consume(spec: ConsumeSpec, onEvent: (event: IncomingEvent) => void): Promise<Intake> {
    const { topic } = spec;
    return this.#consume(
      new RestoredConsumer({
        connection: this.#connected,
        onLost: (consumer, reason) => this.#onLost(consumer, `messages of "${topic}"`, reason),
        ...(spec.durable ? this.#storedConsumer(spec, onEvent) : this.#plainConsumer(spec, onEvent)),
      }),
    );
  }

  deadLetters(topic: string): DeadLetters {
    return deadLettersOf(topic, {
      session: () => this.#opened,
      ensureDead: () => this.#stored.ensureDead(topic),
      exclusively: (work) => {
        const done = this.#looking.then(work);
        this.#looking = done.catch(() => undefined);
        return done;
      },
    });
  }

  async stop(): Promise<void> {
    if (this.#ending.signal.aborted) return;
    this.#ending.abort(new Error('The connection to RabbitMQ is closed.'));
    this.#again?.cancel();
    this.#measuring?.cancel();
    const connection = this.#connection;
    if (!connection) return;
    // A hung server answers nothing: what was written stays written, and the socket is closed.
    if (connection.ready) await this.#atMost(CLOSE_MS, this.#close(connection));
    connection.unsafeDestroy();
  }

  async #close(connection: Connection): Promise<void> {
    await Promise.all([...this.#consumers].map((consumer) => consumer.close()));
    await this.#session?.close();
    await connection.close();
  }

  get #opened(): RabbitMqSession {
    if (!this.#session) throw new Error('The connection to RabbitMQ is not open.');
    return this.#session;
  }

  get #connected(): Connection {
    if (!this.#connection) throw new Error('The connection to RabbitMQ is not open.');
    return this.#connection;
  }

  async #consume(consumer: RestoredConsumer): Promise<Intake> {
    this.#consumers.add(consumer);
    try {
      await consumer.open();
    } catch (error) {
      this.#consumers.delete(consumer);
      throw error;
    }
    return {
      stop: () => consumer.stop(),
      get lag() {
        return consumer.lag;
      },
    };
  }

  #plainConsumer({ topic, group }: ConsumeSpec, onEvent: (event: IncomingEvent) => void) {
    const { events } = this.#names;
    const declaration =
      group === false ? ({ queue: '', exclusive: true } as const) : passing(this.#names.plain(topic, group));
    return {
      declare: async (channel) => {
        const declared = await channel.queueDeclare(declaration);
        await channel.queueBind({ queue: declared.queue, exchange: events, routingKey: this.#names.key(topic) });
        return declared;
      },
      onMessage: (message) => onEvent({ ...this.#event(message), attempt: 1 }),
    } satisfies Partial<ConstructorParameters<typeof RestoredConsumer>[0]>;
  }

  #storedConsumer({ topic, group, concurrency }: ConsumeSpec, onEvent: (event: IncomingEvent) => void) {
    const isOwn = group === false;
    const queue = this.#names.stored(topic, isOwn ? `own.${this.#parts.ids.next()}` : group);
    return {
      prefetch: concurrency,
      declare: (channel) =>
        this.#stored.declare(channel, { queue, topic, ...(isOwn && { expireMs: FORGET_OWN_QUEUE_MS }) }),
      onMessage: (message, delivered) =>
        onEvent(this.#stored.incoming(this.#event(message), { message, delivered, queue, topic })),
    } satisfies Partial<ConstructorParameters<typeof RestoredConsumer>[0]>;
  }

  /** Everything is restored before anybody is told: what is published then arrives. */
  async #openSession(connection: Connection): Promise<void> {
    if (this.#isOpening || this.#session || this.#ending.signal.aborted) return;
    this.#isOpening = true;
    try {
      const session: RabbitMqSession = await RabbitMqSession.open(connection, {
        onReply: (message) =>
          this.#host?.onReply(message.correlationId ?? '', {
            ok: message.headers?.[ERROR] === undefined,
            body: bodyOf(message),
          }),
        onUnroutable: ({ correlationId }) => this.#host?.onNoResponder(correlationId ?? ''),
        onClosed: (reason) => this.#onSessionClosed(session, reason),
      });
      await session.onOwnChannel((channel) =>
        channel.exchangeDeclare({ exchange: this.#names.events, type: 'direct', durable: true }),
      );
      this.#session = session;
      await Promise.all([...this.#consumers].map((consumer) => this.#restore(consumer)));
      if (this.#session === session && session.isOpen) this.#host?.onConnected();
      else throw new Error('the connection broke while it was set up');
    } catch (error) {
      this.#host?.onFailure('the connection', error);
      this.#session = undefined;
      this.#openAgain(connection);
    } finally {
      this.#isOpening = false;
    }
  }

  #onSessionClosed(session: RabbitMqSession, reason: string): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    if (this.#ending.signal.aborted) return;
    this.#host?.onDisconnected(reason);
    // What is left of it ends as well; the connection itself may be well.
    void session.close();
    if (this.#connection) this.#openAgain(this.#connection);
  }

  #openAgain(connection: Connection): void {
    if (this.#ending.signal.aborted) return;
    this.#again?.cancel();
    this.#again = this.#parts.clock.setTimer(() => {
      // A connection that is away opens the session itself when it is back.
      if (connection.ready) void this.#openSession(connection);
    }, this.#jittered(AGAIN_MS));
  }

  async #restore(consumer: RestoredConsumer): Promise<void> {
    if (consumer.isStopped) this.#consumers.delete(consumer);
    else
      await consumer.open().catch((error: unknown) => {
        this.#onLost(consumer, 'a subscription', error);
      });
  }

  /** Opened again a little later, unless the whole connection is away: then with it. */
  #onLost(consumer: RestoredConsumer, what: string, reason: unknown): void {
    const { clock } = this.#parts;
    if (this.#ending.signal.aborted || !this.#connection?.ready) return;
    this.#host?.onFailure(what, reason);
    clock.sleep(this.#jittered(AGAIN_MS), this.#ending.signal).then(
      () => this.#session && void this.#restore(consumer),
      () => undefined,
    );
  }

  #measure(): void {
    if (this.#ending.signal.aborted) return;
    this.#measuring = this.#parts.clock.setTimer(() => {
      const measured = [...this.#consumers].map((consumer) =>
        // Its channel is gone, which is told elsewhere.
        consumer.isStopped ? this.#consumers.delete(consumer) : consumer.measure().catch(() => undefined),
      );
      void Promise.all(measured).then(() => this.#measure());
    }, MEASURE_MS);
  }

  #incoming(message: AsyncMessage): IncomingRequest {
    const { replyTo, correlationId } = message;
    return {
      headers: headersOf(message),
      body: bodyOf(message),
      reply: async ({ ok, body }) => {
        if (replyTo === undefined) return;
        const properties = this.#properties({ id: correlationId ?? '', headers: ok ? {} : { [ERROR]: '1' }, body });
        const sent = { ...properties, ...(correlationId !== undefined && { correlationId }) };
        await this.#opened.reply(replyTo, sent, bytesOf(body));
      },
    };
  }

  #event(message: AsyncMessage): Omit<IncomingEvent, 'attempt' | 'settle'> {
    const headers = headersOf(message);
    const { clock, ids } = this.#parts;
    const sentAt = Number(headers[HEADER.sentAt]) || (message.timestamp ?? 0) * 1_000;
    return { id: idOf(message) ?? ids.next(), headers, body: bodyOf(message), publishedAt: sentAt || clock.now() };
  }

  #properties(message: Pick<OutgoingMessage, 'id' | 'headers' | 'body'>) {
    this.#assertSize(message.body);
    return propertiesOf(message);
  }

  /** A larger one would close the channel, and everything on it. */
  #assertSize({ data }: WireBody): void {
    const { maxMessageBytes } = this.#options;
    if (data.length > maxMessageBytes)
      throw new PayloadError(
        `A payload has ${data.length} bytes; broker.maxMessageBytes allows ${maxMessageBytes}. Send a reference to it, or raise the limit here and on the server.`,
      );
  }

  get #where(): string {
    return this.#addresses.map(({ host }) => host).join(', ');
  }

  get #addresses(): URL[] {
    const { servers } = this.#options;
    return (typeof servers === 'string' ? [servers] : servers).map((server) => new URL(server));
  }

  #connectionOptions(): ConnectionOptions {
    const { user, password, vhost, tls, heartbeatMs } = this.#options;
    const addresses = this.#addresses;
    const first = addresses[0]!;
    const isEncrypted = tls !== undefined || first.protocol === 'amqps:';
    const { name, instance } = this.#parts.service;
    return {
      hosts: addresses.map(({ hostname, port }) => `${hostname}:${port || (isEncrypted ? 5671 : 5672)}`),
      username: decodeURIComponent(first.username) || user,
      password: decodeURIComponent(first.password) || password,
      vhost: decodeURIComponent(first.pathname.slice(1)) || vhost,
      connectionName: `${name}/${instance}`,
      // Without it, a round trip can take 40 ms longer.
      noDelay: true,
      heartbeat: heartbeatMs / 1_000,
      frameMax: FRAME_BYTES,
      connectionTimeout: CONNECT_TIMEOUT_MS,
      acquireTimeout: CONNECT_TIMEOUT_MS,
      retryLow: FIRST_RECONNECT_MS,
      retryHigh: LONGEST_RECONNECT_MS,
      ...(isEncrypted && {
        tls: {
          ...(tls?.caFile !== undefined && { ca: readFileSync(tls.caFile) }),
          ...(tls?.certFile !== undefined && { cert: readFileSync(tls.certFile) }),
          ...(tls?.keyFile !== undefined && { key: readFileSync(tls.keyFile) }),
        },
      }),
    };
  }

  #jittered(pauseMs: number): number {
    return Math.round(pauseMs * (0.5 + this.#parts.ids.random()));
  }

  async #atMost(limitMs: number, work: Promise<void>): Promise<void> {
    const ended = new AbortController();
    const done = work.catch(() => undefined).finally(() => ended.abort());
    await Promise.race([done, this.#parts.clock.sleep(limitMs, ended.signal).catch(() => undefined)]);
  }
}

/** A queue that leaves with its last consumer. Durable only by name: the other kind is on its way out of RabbitMQ. */
function passing(queue: string) {
  return { queue, durable: true, autoDelete: true, arguments: { 'x-expires': FORGET_EMPTY_MS } } as const;
}

async function loadClient(): Promise<typeof Connection> {
  try {
    return (await import('rabbitmq-client')).Connection;
  } catch (error) {
    throw new MeshConfigError(
      `broker.transport "rabbitmq" needs its client: npm i rabbitmq-client@5 (${(error as Error).message})`,
    );
  }
}
