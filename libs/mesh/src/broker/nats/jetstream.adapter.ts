import type {
  Consumer,
  ConsumerConfig,
  JetStreamClient,
  JetStreamManager,
  JsMsg,
  StreamConfig,
} from '@nats-io/jetstream';
import type { MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import type { DeadLetter, DeadLetters } from '../../core/broker.port.js';
import type { Clock } from '../../core/clock.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import { PublishUnconfirmedError } from '../broker.errors.js';
import type { NatsBrokerOptions } from '../broker.options.js';
import { HEADER } from '../transport/message-headers.js';
import type {
  ConsumeSpec,
  DriverHost,
  EventSettlement,
  IncomingEvent,
  Intake,
} from '../transport/transport-driver.port.js';
import { deadLetterHeaders, deadLettersOf, ONLY_GROUP } from './jetstream-dead-letters.js';
import { bodyOf, headersOf, MESSAGE_ID } from './nats.message.js';
import { PullConsumer } from './pull-consumer.js';
import type { Subjects } from './subjects.js';

type JetStreamModule = typeof import('@nats-io/jetstream');

interface JetStreamParts {
  readonly clock: Clock;
  readonly host: DriverHost;
  readonly options: NatsBrokerOptions['jetstream'];
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
/** After how long without its instance a consumer that shares with nobody is forgotten. */
const FORGET_OWN_CONSUMER = 300_000 * NANOS;
const BAD_REQUEST = 400;

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

  /** Resolves when the message is stored. */
  async publish(
    topic: string,
    data: Uint8Array,
    message: { readonly id: string; readonly headers: MsgHdrs },
  ): Promise<void> {
    await this.#store(this.#subjects.event(topic), data, { ...message, topic });
  }

  async consume(spec: ConsumeSpec, onEvent: (event: IncomingEvent) => void): Promise<Intake> {
    const open = async (): Promise<Consumer> => {
      const { client, manager, module } = await this.#loaded();
      const stream = await this.#ensureStream(this.#subjects.event(spec.topic));
      const config = this.#consumerConfig(module, spec);
      await manager.consumers.add(stream, config);
      return client.consumers.get(stream, config.durable_name!);
    };
    const consumer: PullConsumer<JsMsg> = new PullConsumer<JsMsg>(open, {
      clock: this.#parts.clock,
      concurrency: spec.concurrency,
      renewMs: this.#parts.options.ackWaitMs / 3,
      onMessage: (message) => this.#deliver(message, spec, { onEvent, onSettled: () => consumer.onSettled(message) }),
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
    const subject = this.#subjects.dead(topic);
    return deadLettersOf(topic, {
      stream: () => this.#subjects.stream(subject),
      manager: async () => (await this.#loaded()).manager,
      publishAgain: (data, message) => this.#store(this.#subjects.event(topic), data, { ...message, topic }),
    });
  }

  onDisconnected(): void {
    // A server that keeps streams in memory comes back without them.
    this.#streams.clear();
  }

  onReconnected(): void {
    for (const consumer of this.#consumers) consumer.restart();
  }

  #deliver(
    message: JsMsg,
    spec: ConsumeSpec,
    to: { readonly onEvent: (event: IncomingEvent) => void; readonly onSettled: () => void },
  ): void {
    const headers = headersOf(message.headers);
    const { group } = spec;
    if (headers[ONLY_GROUP] !== undefined && headers[ONLY_GROUP] !== group) {
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
      settle: this.#settlement(message, spec, to.onSettled),
    });
  }

  #settlement(message: JsMsg, spec: ConsumeSpec, onSettled: () => void): EventSettlement {
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
          await this.#storeDead(message, spec, letter);
          message.ack();
        } finally {
          onSettled();
        }
      },
    };
  }

  async #storeDead(message: JsMsg, { topic, group }: ConsumeSpec, letter: DeadLetter): Promise<void> {
    const { headers } = await import('@nats-io/transport-node');
    const sent = headers();
    for (const [name, value] of deadLetterHeaders(headersOf(message.headers), {
      ...letter,
      ...(group !== false && { group }),
    }))
      sent.set(name, value);
    // The same letter twice, after a crash between storing and acknowledging, is one.
    const id = `${letter.message.id} ${letter.handler} ${message.seq}`;
    await this.#store(this.#subjects.dead(topic), message.data, { id, headers: sent, topic });
  }

  async #store(
    subject: string,
    data: Uint8Array,
    { id, headers, topic }: { readonly id: string; readonly headers: MsgHdrs; readonly topic: string },
  ): Promise<void> {
    const { client, module } = await this.#loaded();
    await this.#ensureStream(subject);
    try {
      await client.publish(subject, data, { msgID: id, headers, timeout: PUBLISH_TIMEOUT_MS });
    } catch (error) {
      this.#streams.delete(subject);
      // A refusal that stays one: the stream is full, or sealed. Everything else may pass.
      if (error instanceof module.JetStreamApiError && error.status === BAD_REQUEST)
        throw new PublishUnconfirmedError(topic, 'unsent', `JetStream refused it (${error.message})`, error);
      throw error;
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

  async #findOrAddStream(subject: string): Promise<string> {
    const { manager, module } = await this.#loaded();
    const { manage } = this.#parts.options;
    const found = await manager.streams.find(subject).catch((error: unknown) => {
      if (!(error instanceof module.JetStreamApiError) && !isNoMatch(error)) throw error;
      return undefined;
    });
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
    { topic, group }: ConsumeSpec,
  ): Partial<ConsumerConfig> {
    const { ackWaitMs, deliver } = this.#parts.options;
    const name =
      group === false ? `own-${this.#connection.info?.client_id}-${Date.now()}` : this.#subjects.consumer(group);
    return {
      durable_name: name,
      filter_subject: this.#subjects.event(topic),
      ack_policy: AckPolicy.Explicit,
      ack_wait: ackWaitMs * NANOS,
      deliver_policy: group === false || deliver === 'new' ? DeliverPolicy.New : DeliverPolicy.All,
      // When to give up is the broker's decision: the server would only fall silent.
      max_deliver: -1,
      max_ack_pending: -1,
      ...(group === false && { inactive_threshold: FORGET_OWN_CONSUMER }),
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
    const module = await import('@nats-io/jetstream').catch((error: unknown) => {
      throw new MeshConfigError(
        `Confirmed messages and atLeastOnce subscriptions over NATS need JetStream's client: npm i @nats-io/jetstream@3 (${(error as Error).message})`,
      );
    });
    const manager = await module.jetstreamManager(this.#connection, { checkAPI: false });
    return { module, manager, client: manager.jetstream() };
  }
}

function isNoMatch(error: unknown): boolean {
  return error instanceof Error && error.message.includes('no stream matches subject');
}
