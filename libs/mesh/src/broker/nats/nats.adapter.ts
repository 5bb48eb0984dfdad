import type {
  ConnectionOptions,
  Msg,
  MsgHdrs,
  NatsConnection,
  Subscription as NatsSubscription,
  TlsOptions,
} from '@nats-io/transport-node';
import type { DeadLetters } from '../../core/broker.port.js';
import type { Clock } from '../../core/clock.js';
import type { Ids } from '../../core/ids.js';
import { messageOf } from '../../core/message-of.js';
import type { NatsBrokerOptions } from '../broker.options.js';
import { atMost } from '../transport/at-most.js';
import { loadClient } from '../transport/load-client.js';
import { ERROR, HEADER, type Headers } from '../transport/message-headers.js';
import { assertSize } from '../transport/payload-limit.js';
import type {
  ConsumeSpec,
  DriverHost,
  IncomingEvent,
  IncomingRequest,
  Intake,
  OutgoingMessage,
  OutgoingRequest,
  TransportCapabilities,
  TransportDriver,
  WireBody,
  WireReply,
} from '../transport/transport-driver.port.js';
import { Flushes } from './flushes.js';
import { JetStream } from './jetstream.adapter.js';
import {
  bodyOf,
  bytesOf,
  fromReplyToken,
  headersOf,
  MESSAGE_ID,
  ONLY_RECEIVER,
  replyToken,
  withHeaders,
} from './nats.message.js';
import { asRefusal, isForbidden } from './refusal.js';
import { Subjects } from './subjects.js';

type NatsModule = typeof import('@nats-io/transport-node');

/** Every instance that serves a pattern is in this queue group, so that each request goes to one of them. */
const SERVERS = 'mesh';
const FIRST_RECONNECT_MS = 100;
const LONGEST_RECONNECT_MS = 5_000;
const CONNECT_TIMEOUT_MS = 2_000;
const CLOSE_MS = 2_000;
const NO_RESPONDERS = 503;
/** For the headers, half of it for those that the message has as a dead letter: one that does not fit would come for ever. */
const ROOM_FOR_HEADERS = 8_192;

interface DriverParts {
  readonly clock: Clock;
  readonly ids: Ids;
}

/**
 * NATS: requests and plain events over its core, confirmed and durable ones over JetStream. One connection, one inbox for
 * all answers. The client is loaded only when NATS is configured.
 */
export class NatsDriver implements TransportDriver {
  readonly name = 'nats';
  readonly capabilities: TransportCapabilities = {
    confirmed: true,
    durable: true,
    groups: true,
    broadcast: true,
    replay: true,
    headers: true,
    noResponder: true,
  };
  readonly #options: NatsBrokerOptions;
  readonly #parts: DriverParts;
  readonly #subjects: Subjects;
  #client!: NatsModule;
  #open: { readonly connection: NatsConnection; readonly streams: JetStream } | undefined;
  #host: DriverHost | undefined;
  #inbox = '';
  readonly #flushes = new Flushes(() => this.#opened.connection.flush());
  /** Of the clock's `monotonic()`; `undefined` while connected. */
  #awaySince: number | undefined;
  #stopping = false;

  constructor(options: NatsBrokerOptions, parts: DriverParts) {
    this.#options = options;
    this.#parts = parts;
    this.#subjects = new Subjects(options.subjectPrefix);
  }

  async load(): Promise<void> {
    this.#client = await loadClient(
      () => import('@nats-io/transport-node'),
      'broker.transport "nats" needs its client',
      '@nats-io/transport-node@3 @nats-io/jetstream@3',
    );
  }

  async start(host: DriverHost, signal: AbortSignal): Promise<void> {
    this.#host = host;
    const { connect, createInbox } = this.#client;
    const connection = await this.#connect(connect, host, signal);
    if (signal.aborted) {
      // It was stopped during the handshake, when there was nothing to close.
      await connection.close();
      signal.throwIfAborted();
    }
    const streams = new JetStream(connection, this.#subjects, {
      ...this.#parts,
      host,
      options: this.#options.jetstream,
    });
    this.#open = { connection, streams };
    this.#inbox = `${createInbox()}.`;
    connection.subscribe(`${this.#inbox}*`, { callback: (error, message) => this.#onAnswer(error, message) });
    void this.#watch(connection, streams, host);
    host.onConnected();
  }

  request({ id, name, headers, timeoutMs, body }: OutgoingRequest): void {
    this.#assertSize(body, headers);
    const reply = this.#inbox + replyToken(id, timeoutMs);
    this.#send(this.#subjects.request(name), body, { reply, ...withHeaders(headers, body.contentType) });
  }

  async publish(message: OutgoingMessage, guarantee: 'sent' | 'confirmed'): Promise<void> {
    const { id, name, body } = message;
    const headers = { ...message.headers, [MESSAGE_ID]: id };
    this.#assertSize(body, headers);
    if (guarantee === 'confirmed') return this.#opened.streams.publish(name, body, headers);
    const subject = this.#subjects.event(name);
    this.#send(subject, body, withHeaders(headers, body.contentType));
    await this.#flushes.took(subject).catch((error: unknown) => {
      throw asRefusal(error, { topic: name, id });
    });
  }

  async serve(pattern: string, onRequest: (request: IncomingRequest) => void): Promise<Intake> {
    const { connection } = this.#opened;
    const subscription = connection.subscribe(this.#subjects.request(pattern), {
      queue: SERVERS,
      callback: (error, message) => {
        if (error) this.#host?.onFailure(`requests of "${pattern}"`, error);
        else onRequest(this.#incoming(message));
      },
    });
    return this.#intake(subscription);
  }

  async consume(spec: ConsumeSpec, onEvent: (event: IncomingEvent) => void): Promise<Intake> {
    const { connection, streams } = this.#opened;
    if (spec.durable) return streams.consume(spec, onEvent);
    const { topic, group } = spec;
    const subscription = connection.subscribe(this.#subjects.event(topic), {
      ...(group !== false && { queue: this.#subjects.consumer(group) }),
      callback: (error, message) => {
        if (error) this.#host?.onFailure(`messages of "${topic}"`, error);
        // A dead letter that is sent again, to a subscription that the server keeps messages for.
        else if (!message.headers?.has(ONLY_RECEIVER)) onEvent(this.#plainEvent(message));
      },
    });
    return this.#intake(subscription);
  }

  deadLetters(topic: string): DeadLetters {
    return this.#opened.streams.deadLetters(topic);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const { connection } = this.#open ?? {};
    this.#open = undefined;
    if (!connection || connection.isClosed()) return;
    // A hung server answers no flush: what was written stays written, and the socket is closed.
    if (this.#awaySince === undefined) await atMost(this.#parts.clock, CLOSE_MS, connection.flush());
    await connection.close();
  }

  get #opened(): { readonly connection: NatsConnection; readonly streams: JetStream } {
    if (!this.#open) throw new Error('The connection to NATS is not open.');
    return this.#open;
  }

  async #connect(connect: NatsModule['connect'], host: DriverHost, signal: AbortSignal): Promise<NatsConnection> {
    const where = `the connection to NATS at ${String(this.#options.servers)}`;
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted();
      try {
        return await connect(this.#connectionOptions());
      } catch (error) {
        // Whoever waits for the start learns only in the end that it took too long.
        if (attempt === 1) host.onDisconnected(`no success with ${where}: ${messageOf(error)}`);
        await this.#parts.clock.sleep(this.#pauseMs(), signal).catch(() => {
          throw new Error(`No success with ${where}: ${messageOf(error)}`, { cause: error });
        });
      }
    }
  }

  #connectionOptions(): ConnectionOptions {
    const { servers, user, password, token, tls, pingIntervalMs } = this.#options;
    return {
      servers: typeof servers === 'string' ? servers : [...servers],
      maxReconnectAttempts: -1,
      reconnectDelayHandler: () => this.#pauseMs(),
      ignoreAuthErrorAbort: true,
      timeout: CONNECT_TIMEOUT_MS,
      pingInterval: pingIntervalMs,
      maxPingOut: 2,
      noAsyncTraces: true,
      ...(user !== undefined && { user }),
      ...(password !== undefined && { pass: password }),
      ...(token !== undefined && { token }),
      // The client tells "absent" from `undefined` only in its types.
      ...(tls && { tls: tls as TlsOptions }),
    };
  }

  /** Grows with the time without a connection, jittered, so that a fleet does not come back as one. */
  #pauseMs(): number {
    const now = this.#parts.clock.monotonic();
    this.#awaySince ??= now;
    const limit = Math.min(Math.max(FIRST_RECONNECT_MS, (now - this.#awaySince) / 2), LONGEST_RECONNECT_MS);
    return Math.round(limit * (0.5 + this.#parts.ids.random() / 2));
  }

  async #watch(connection: NatsConnection, streams: JetStream, host: DriverHost): Promise<void> {
    this.#awaySince = undefined;
    let isSilent = false;
    for await (const status of connection.status()) {
      if (status.type === 'staleConnection') isSilent = true;
      else if (status.type === 'disconnect') {
        this.#awaySince = this.#parts.clock.monotonic();
        streams.onDisconnected();
        host.onDisconnected(`${status.server} ${isSilent ? 'answers no ping' : 'closed it'}`);
        isSilent = false;
      } else if (status.type === 'reconnect') {
        this.#awaySince = undefined;
        streams.onReconnected();
        host.onConnected();
      } else if (status.type === 'error') {
        if (isForbidden(status.error, 'publish')) this.#onRefused(status.error.subject, status.error);
        host.onFailure('the connection', status.error);
      }
    }
    if (!this.#stopping) host.onDisconnected('the client gave up');
  }

  #onRefused(subject: string, error: Error): void {
    this.#flushes.onRefused(subject, error);
    const isMeant = (pattern: string): boolean => this.#subjects.request(pattern) === subject;
    this.#host?.onRequestsRefused(isMeant, `NATS refused it (${error.message})`);
  }

  #onAnswer(error: Error | null, message: Msg): void {
    if (error) return this.#host?.onFailure('answers', error);
    const { id } = fromReplyToken(message.subject.slice(this.#inbox.length));
    if (message.headers?.code === NO_RESPONDERS && message.data.length === 0) return this.#host?.onNoResponder(id);
    const headers = headersOf(message.headers);
    this.#host?.onReply(id, { ok: headers[ERROR] === undefined, body: bodyOf(message.data, headers) });
  }

  #incoming(message: Msg): IncomingRequest {
    const headers = headersOf(message.headers);
    const { reply: inbox = '' } = message;
    return {
      ...fromReplyToken(inbox.slice(inbox.lastIndexOf('.') + 1)),
      headers,
      body: bodyOf(message.data, headers),
      reply: ({ ok, body }: WireReply) => {
        this.#assertSize(body, {});
        message.respond(body.data, withHeaders(ok ? {} : { [ERROR]: '1' }, body.contentType));
      },
    };
  }

  #plainEvent({ headers, data }: Msg): IncomingEvent {
    const known = headersOf(headers);
    return {
      id: known[HEADER.id] ?? known[MESSAGE_ID] ?? this.#parts.ids.next(),
      headers: known,
      body: bodyOf(data, known),
      publishedAt: Number(known[HEADER.sentAt]) || this.#parts.clock.now(),
      attempt: 1,
    };
  }

  /** Sure that the server knows of the subscription; otherwise there is none, so that the next attempt makes no second one. */
  async #intake(subscription: NatsSubscription): Promise<Intake> {
    try {
      await this.#opened.connection.flush();
    } catch (error) {
      subscription.unsubscribe();
      throw error;
    }
    if (subscription.isClosed()) throw new Error(`NATS does not permit to read "${subscription.getSubject()}".`);
    return {
      stop: async () => {
        if (!subscription.isClosed()) await subscription.drain();
      },
    };
  }

  #send(subject: string, body: WireBody, options: { readonly headers?: MsgHdrs; readonly reply?: string }): void {
    this.#opened.connection.publish(subject, body.data, options);
  }

  /** Headers count as well: a little room is left for them, and what they need beyond it is the payload's. */
  #assertSize(body: WireBody, headers: Headers): void {
    const beyond = Math.max(0, bytesOf(headers) - ROOM_FOR_HEADERS / 2);
    const limit = (this.#open?.connection.info?.max_payload ?? Number.POSITIVE_INFINITY) - ROOM_FOR_HEADERS - beyond;
    const takes = beyond > 0 ? 'beside its headers this NATS server takes' : 'this NATS server takes';
    assertSize(body, limit, { takes, raise: 'max_payload' });
  }
}
