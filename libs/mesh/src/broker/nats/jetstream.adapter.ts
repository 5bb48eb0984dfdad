import type {
  Consumer,
  ConsumerConfig,
  JetStreamClient,
  JetStreamManager,
  JsMsg,
  StreamConfig,
} from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { DeadLetter, DeadLetters } from '../../core/broker.port.js';
import type { Clock } from '../../core/clock.js';
import type { Ids } from '../../core/ids.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import { PublishUnconfirmedError } from '../broker.errors.js';
import type { NatsBrokerOptions } from '../broker.options.js';
import { loadClient } from '../transport/load-client.js';
import { HEADER, type Headers } from '../transport/message-headers.js';
import { StoredDeadLetters } from '../transport/stored-dead-letters.js';
import {
  FORGET_OWN_MS,
  type ConsumeSpec,
  type DriverHost,
  type EventSettlement,
  type IncomingEvent,
  type Intake,
  type WireBody,
} from '../transport/transport-driver.port.js';
import { absent, headersOfLetter, JetStreamLetterStore } from './jetstream-letter-store.js';
import { bodyOf, headersOf, MESSAGE_ID, ONLY_RECEIVER, withHeaders } from './nats.message.js';
import { PullConsumer } from './pull-consumer.js';
import { asRefusal } from './refusal.js';
import type { Subjects } from './subjects.js';

type JetStreamModule = typeof import('@nats-io/jetstream');

interface JetStreamParts {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly host: DriverHost;
  readonly options: NatsBrokerOptions['jetstream'];
}

/** What the server says to a message that it was to store. */
interface PublishAnswer {
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description: string };
}

/** Who gets the messages of a consumer. */
interface Receiver {
  readonly topic: string;
  /** Its group, or the name that a subscription that shares with nobody has here. */
  readonly receiver: string;
  readonly onEvent: (event: IncomingEvent) => void;
  readonly onSettled: () => void;
}

interface Api {
  readonly module: JetStreamModule;
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
}

const PUBLISH_TIMEOUT_MS = 2_000;
const NANOS = 1_000_000;
/** How long a server remembers message ids, in its nanoseconds: two minutes. */
const DUPLICATE_WINDOW = 120_000 * NANOS;
const SERVER_ERROR = 500;
/** The server's number for a message that it could not store. With "maximum" in its text the stream is full; it may pass otherwise. */
const STORE_FAILED = 10_077;

/** What the server stores: a stream for each durable topic and one for its dead letters, a durable consumer for each group. */
export class JetStream {
  readonly #connection: NatsConnection;
  readonly #subjects: Subjects;
  readonly #parts: JetStreamParts;
  readonly #streams = new Map<string, Promise<string>>();
  readonly #consumers = new Set<PullConsumer<JsMsg>>();
  #api: Promise<Api> | undefined;

  constructor(connection: NatsConnection, subjects: Subjects, parts: JetStreamParts) {
    this.#connection = connection;
    this.#subjects = subjects;
    this.#parts = parts;
  }

  /** Resolves when the message is stored. Its headers carry its id. */
  async publish(topic: string, body: WireBody, headers: Headers): Promise<void> {
    await this.#store(this.#subjects.event(topic), body, { headers, topic });
  }

  async consume(spec: ConsumeSpec, onEvent: (event: IncomingEvent) => void): Promise<Intake> {
    const { topic } = spec;
    const receiver = spec.group === false ? `own-${this.#parts.ids.next()}` : spec.group;
    const name = this.#subjects.consumer(receiver);
    const open = (): Promise<Consumer> => this.#openConsumer(name, spec);
    const consumer: PullConsumer<JsMsg> = new PullConsumer<JsMsg>(open, {
      clock: this.#parts.clock,
      concurrency: spec.concurrency,
      renewMs: this.#parts.options.ackWaitMs / 3,
      onMessage: (message) =>
        this.#deliver(message, { topic, receiver, onEvent, onSettled: () => consumer.onSettled(message) }),
      onFailure: (error) => this.#parts.host.onFailure(`messages of "${spec.topic}"`, error),
    });
    await consumer.start();
    this.#consumers.add(consumer);
    return {
      stop: async () => {
        this.#consumers.delete(consumer);
        await consumer.stop();
      },
      get lag() {
        return consumer.lag;
      },
    };
  }

  deadLetters(topic: string): DeadLetters {
    const store = new JetStreamLetterStore({
      subject: this.#subjects.dead(topic),
      findStream: (subject) => this.#findStream(subject),
      manager: async () => (await this.#loaded()).manager,
      isThere: (receiver) => this.#hasConsumer(topic, receiver),
      publishAgain: (data, headers) => this.publish(topic, { data }, headers),
    });
    return new StoredDeadLetters(topic, store);
  }

  onDisconnected(): void {
    // A server that keeps streams in memory comes back without them.
    this.#streams.clear();
    for (const consumer of this.#consumers) consumer.suspend();
  }

  onReconnected(): void {
    for (const consumer of this.#consumers) consumer.resume();
  }

  async #openConsumer(name: string, { topic, group, replay }: ConsumeSpec): Promise<Consumer> {
    const { client, manager, module } = await this.#loaded();
    const stream = await this.#ensureStream(this.#subjects.event(topic));
    const config = this.#consumerConfig(module, { name, topic, group, replay });
    try {
      await manager.consumers.add(stream, config);
    } catch (error) {
      // One that an operator made, or of other options: what it has cannot always be changed, and it works as it is.
      if (!(error instanceof module.JetStreamApiError)) throw error;
      await manager.consumers.info(stream, name).catch(() => {
        throw error;
      });
      this.#parts.host.onFailure(`the options of the consumer "${name}", which stays as it was,`, error);
    }
    return client.consumers.get(stream, name);
  }

  async #hasConsumer(topic: string, receiver: string): Promise<boolean> {
    const stream = await this.#findStream(this.#subjects.event(topic));
    if (stream === undefined) return false;
    const { manager } = await this.#loaded();
    return (await manager.consumers.info(stream, this.#subjects.consumer(receiver)).catch(absent)) !== undefined;
  }

  #deliver(message: JsMsg, to: Receiver): void {
    const headers = headersOf(message.headers);
    if (headers[ONLY_RECEIVER] !== undefined && headers[ONLY_RECEIVER] !== to.receiver) {
      message.ack();
      return to.onSettled();
    }
    const { deliveryCount, timestampNanos, stream, streamSequence } = message.info;
    to.onEvent({
      id: headers[HEADER.id] ?? headers[MESSAGE_ID] ?? `${stream}:${streamSequence}`,
      headers,
      body: bodyOf(message.data, headers),
      publishedAt: Math.floor(timestampNanos / NANOS),
      attempt: deliveryCount,
      settle: this.#settlement(message, to),
    });
  }

  #settlement(message: JsMsg, to: Receiver): EventSettlement {
    const { onSettled } = to;
    return {
      ack: async () => {
        message.ack();
        onSettled();
      },
      retry: async (delayMs) => {
        message.nak(delayMs);
        onSettled();
      },
      deadLetter: async (letter) => {
        try {
          await this.#storeDead(message, to, letter);
          message.ack();
        } finally {
          onSettled();
        }
      },
    };
  }

  async #storeDead(message: JsMsg, { topic, receiver }: Receiver, letter: DeadLetter): Promise<void> {
    // The same letter twice, after a crash between storing and acknowledging, is one.
    const id = `${letter.message.id} ${letter.handler} ${message.seq}`;
    const headers = { ...headersOfLetter(headersOf(message.headers), letter, receiver), [MESSAGE_ID]: id };
    await this.#store(this.#subjects.dead(topic), message, { headers, topic });
  }

  async #store(
    subject: string,
    { data, contentType }: WireBody,
    { headers, topic }: { readonly headers: Headers; readonly topic: string },
  ): Promise<void> {
    await this.#ensureStream(subject);
    try {
      const options = { ...withHeaders(headers, contentType), timeout: PUBLISH_TIMEOUT_MS };
      const answer = await this.#connection.request(subject, data, options);
      const { error } = answer.json<PublishAnswer>();
      if (!error) return;
      if (isFinal(error))
        throw new PublishUnconfirmedError({ topic, id: headers[MESSAGE_ID] }, 'unsent', {
          reason: `JetStream refused it (${error.description})`,
        });
      throw new Error(error.description);
    } catch (error) {
      // Perhaps the stream is gone: it is looked for before the next attempt.
      this.#streams.delete(subject);
      throw asRefusal(error, { topic, id: headers[MESSAGE_ID] });
    }
  }

  #ensureStream(subject: string): Promise<string> {
    let stream = this.#streams.get(subject);
    if (!stream) {
      stream = this.#findOrAddStream(subject);
      this.#streams.set(subject, stream);
      stream.catch(() => this.#streams.delete(subject));
    }
    return stream;
  }

  /** The stream that stores the subject, whoever made it. */
  async #findStream(subject: string): Promise<string | undefined> {
    const { manager, module } = await this.#loaded();
    try {
      return await manager.streams.find(subject);
    } catch (error) {
      if (error instanceof module.JetStreamApiError || isNoMatch(error)) return undefined;
      throw error;
    }
  }

  async #findOrAddStream(subject: string): Promise<string> {
    const { manager, module } = await this.#loaded();
    const { manage } = this.#parts.options;
    const found = await this.#findStream(subject);
    if (found !== undefined) return found;
    if (!manage)
      throw new MeshConfigError(
        `No stream stores the subject "${subject}"; create one, or let broker.jetstream.manage do it.`,
        { subject },
      );
    const config = this.#streamConfig(module, subject);
    await manager.streams.add(config);
    return config.name;
  }

  #streamConfig(
    { StorageType, RetentionPolicy, DiscardPolicy }: JetStreamModule,
    subject: string,
  ): Partial<StreamConfig> & { name: string } {
    const { storage, replicas, maxAgeMs, maxBytes } = this.#parts.options;
    return {
      name: this.#subjects.stream(subject),
      subjects: [subject],
      storage: storage === 'file' ? StorageType.File : StorageType.Memory,
      retention: RetentionPolicy.Limits,
      // A full stream refuses the new one, which its publisher learns, instead of losing an old one silently.
      discard: DiscardPolicy.New,
      num_replicas: replicas,
      max_age: maxAgeMs * NANOS,
      duplicate_window: Math.min(DUPLICATE_WINDOW, maxAgeMs * NANOS),
      ...(maxBytes !== undefined && { max_bytes: maxBytes }),
    };
  }

  #consumerConfig(
    { AckPolicy, DeliverPolicy }: JetStreamModule,
    { name, topic, group, replay }: { readonly name: string } & Pick<ConsumeSpec, 'topic' | 'group' | 'replay'>,
  ): Partial<ConsumerConfig> {
    const { ackWaitMs, deliver } = this.#parts.options;
    const isOwn = group === false;
    const fromTheStart = isOwn ? replay : deliver === 'all';
    return {
      durable_name: name,
      filter_subject: this.#subjects.event(topic),
      ack_policy: AckPolicy.Explicit,
      ack_wait: ackWaitMs * NANOS,
      deliver_policy: fromTheStart ? DeliverPolicy.All : DeliverPolicy.New,
      // When to give up is the broker's decision: the server would only fall silent.
      max_deliver: -1,
      max_ack_pending: -1,
      ...(isOwn && { inactive_threshold: FORGET_OWN_MS * NANOS }),
    };
  }

  #loaded(): Promise<Api> {
    this.#api ??= this.#load().catch((error: unknown) => {
      this.#api = undefined;
      throw error;
    });
    return this.#api;
  }

  async #load(): Promise<Api> {
    const module = await loadClient(
      () => import('@nats-io/jetstream'),
      "Confirmed messages and atLeastOnce subscriptions over NATS need JetStream's client",
      '@nats-io/jetstream@3',
    );
    const manager = await module.jetstreamManager(this.#connection).catch((error: unknown) => {
      if ((error as Error).name !== 'JetStreamNotEnabled') throw error;
      const why = 'Confirmed messages and atLeastOnce subscriptions need it: start nats-server with -js.';
      throw new MeshConfigError(`This NATS server has no JetStream. ${why}`);
    });
    return { module, manager, client: manager.jetstream() };
  }
}

/** A refusal that stays one: the stream is full, or sealed. Everything else may pass. */
function isFinal({ code, err_code: number, description }: NonNullable<PublishAnswer['error']>): boolean {
  return code < SERVER_ERROR || (number === STORE_FAILED && description.includes('maximum'));
}

function isNoMatch(error: unknown): boolean {
  return error instanceof Error && error.message.includes('no stream matches subject');
}
