import type { Clock } from '../../core/clock.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import { CapabilityMissingError, PayloadError, PublishUnconfirmedError } from '../broker.errors.js';
import type { NestBrokerOptions } from '../broker.options.js';
import { atMost } from '../transport/at-most.js';
import { loadClient } from '../transport/load-client.js';
import { HEADER } from '../transport/message-headers.js';
import { decodePayload } from '../transport/payload.codec.js';
import type {
  DriverHost,
  Intake,
  OutgoingMessage,
  OutgoingRequest,
  TransportCapabilities,
  TransportDriver,
} from '../transport/transport-driver.port.js';
import { KafkaLink } from './kafka-link.adapter.js';
import { type NestOptions, PASSING_ON } from './nest-transport.js';

const INSTEAD =
  'take what comes in with connectMicroservice and handlers that name Transport.KAFKA, which the mesh counts and drains; for requests use another transport';

/** Of kafkajs, which by itself waits 30 s for an answer and writes a line for each attempt to connect. */
const CLIENT = {
  requestTimeout: 5_000,
  logLevel: 0,
  retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 4 },
};
/** All replicas that are in sync. */
const ALL = -1;
/** How often it is asked whether the servers answer: nothing tells of a connection that broke. */
const WATCH_MS = 2_000;
const CLOSE_MS = 1_000;
/** @see https://kafka.apache.org/documentation/#topicconfigs */
const TOPIC = /^(?!\.{1,2}$)[\w.-]{1,249}$/;
/** What the servers say of the message itself. */
const OF_MESSAGE = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD', 'INVALID_TIMESTAMP']);

/** What is read of the errors of kafkajs. `cause` is what made it give up. */
interface KafkaError extends Error {
  readonly type?: string;
  readonly retriable?: boolean;
  readonly cause?: KafkaError;
}

/** Events to Kafka, through Nest's client: the topic is the topic, `key` the key. Nothing else goes over it. */
export class KafkaDriver implements TransportDriver {
  readonly name = 'nest (kafka)';
  readonly capabilities: TransportCapabilities;
  readonly #clock: Clock;
  readonly #options: NestOptions;
  readonly #ending = new AbortController();
  #host: DriverHost | undefined;
  #newLink: () => KafkaLink = () => {
    throw new Error('The client of Kafka is not loaded.');
  };
  #link: KafkaLink | undefined;
  #awayReason = 'it is not connected yet';

  /** @throws {MeshConfigError} for options that name no server of Kafka, and for those of a server of ours. */
  constructor({ options, client, server }: NestBrokerOptions, { clock }: { readonly clock: Clock }) {
    this.#clock = clock;
    const all: NestOptions = { ...options, ...client };
    const own = all['client'] as { readonly brokers?: unknown; readonly retry?: object } | undefined;
    if (Object.keys(server).length > 0)
      throw new MeshConfigError(`broker.server can't be had via "kafka": ${INSTEAD}.`);
    if (own?.brokers === undefined)
      throw new MeshConfigError(
        'broker.transport "nest" via "kafka" has no brokers: set broker.options.client.brokers, for example ["kafka:9092"].',
      );
    const retry = { ...CLIENT.retry, ...own.retry };
    this.#options = { ...all, client: { ...CLIENT, ...own, retry }, producerOnlyMode: true };
    const { acks = ALL } = (all['send'] ?? {}) as { readonly acks?: number };
    this.capabilities = {
      ...PASSING_ON,
      confirmed: acks === ALL,
      broadcast: false,
      noResponder: false,
      inbound: false,
      eventsOnly: INSTEAD,
    };
  }

  async load(): Promise<void> {
    await loadClient(() => import('kafkajs'), 'broker.transport "nest" via "kafka" needs', 'kafkajs');
    const { ClientKafka } = await import('@nestjs/microservices');
    this.#newLink = () => new KafkaLink(new ClientKafka(this.#options as never));
  }

  async start(host: DriverHost, signal: AbortSignal): Promise<void> {
    this.#host = host;
    const until = AbortSignal.any([signal, this.#ending.signal]);
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const giveUp = (): void => reject(new Error(`No success with the connection via kafka: ${this.#awayReason}`));
    until.addEventListener('abort', giveUp, { once: true });
    if (until.aborted) giveUp();
    await Promise.race([this.#comeUp(until), aborted]).finally(() => until.removeEventListener('abort', giveUp));
    this.#watch().catch(() => undefined);
  }

  request({ name }: OutgoingRequest): void {
    throw this.#refusal(`send the request "${name}"`);
  }

  async publish({ id, name, headers, body }: OutgoingMessage): Promise<void> {
    if (!TOPIC.test(name))
      throw new PayloadError(
        `"${name}" can't be a topic of Kafka: use letters, digits, dots, dashes and underscores, 249 at most.`,
      );
    const key = headers[HEADER.key];
    const message = {
      ...(key !== undefined && { key }),
      value: decodePayload(body),
      headers: { ...headers, [HEADER.id]: id },
    };
    const link = this.#link!;
    await link.send({ pattern: name, data: message }).catch((error: KafkaError) => {
      throw this.#told(error, link, { topic: name, id });
    });
  }

  serve(pattern: string): Promise<Intake> {
    return Promise.reject(this.#refusal(`bring in requests of "${pattern}"`));
  }

  consume({ topic }: { readonly topic: string }): Promise<Intake> {
    return Promise.reject(this.#refusal(`bring in messages for "${topic}"`));
  }

  async stop(): Promise<void> {
    if (this.#ending.signal.aborted) return;
    this.#ending.abort(new Error('The connection of Kafka is closed.'));
    await atMost(this.#clock, CLOSE_MS, this.#link?.close() ?? Promise.resolve());
  }

  #refusal(what: string): CapabilityMissingError {
    return new CapabilityMissingError(this.name, what, INSTEAD);
  }

  /** Tries until the signal aborts, each time anew. */
  async #comeUp(signal: AbortSignal): Promise<void> {
    for (;;) {
      const link = this.#newLink();
      try {
        await link.open();
        signal.throwIfAborted();
        this.#link = link;
        return this.#host?.onConnected();
      } catch (error) {
        void link.close();
        signal.throwIfAborted();
        this.#tellAway(error as Error);
        await this.#clock.sleep(WATCH_MS, signal);
      }
    }
  }

  async #watch(): Promise<void> {
    const { signal } = this.#ending;
    for (;;) {
      await this.#clock.sleep(WATCH_MS, signal);
      const link = this.#link!;
      if (!link.isBroken) await link.ask().catch((error: Error) => this.#breaks(link, error));
      if (!link.isBroken) continue;
      void link.close();
      await this.#comeUp(signal);
    }
  }

  #breaks(link: KafkaLink, error: Error): void {
    link.isBroken = true;
    if (link === this.#link) this.#tellAway(error);
  }

  #tellAway({ message }: Error): void {
    if (this.#ending.signal.aborted) return;
    this.#awayReason = message;
    this.#host?.onDisconnected(message);
  }

  /** As the broker is to take a failure: some would come again with the same message, however long it is tried. */
  #told(error: KafkaError, link: KafkaLink, message: { readonly topic: string; readonly id: string }): Error {
    const { type, retriable } = error.cause ?? error;
    if (type !== undefined && OF_MESSAGE.has(type))
      return new PayloadError(`The message ${message.id} for "${message.topic}" can't be sent: ${error.message}`);
    if (type === 'UNKNOWN_TOPIC_OR_PARTITION' || retriable === false)
      return new PublishUnconfirmedError(message, 'unsent', { reason: error.message, cause: error });
    // A server that answers with an error is there.
    if (type === undefined) this.#breaks(link, error);
    return error;
  }
}
