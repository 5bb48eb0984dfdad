import {
  type Clock,
  type Message,
  type MessageBroker,
  type MessageHandler,
  type MessagePattern,
  type PublishReceipt,
  type RequestOptions,
  RequestTimeoutError,
} from '../../index.js';
import { failExpectation, listed, shown } from './failed-expectation.js';
import { matches } from './partial-match.js';
import { Rules } from './rules.js';
import { wireCopy } from './wire-copy.js';

export interface PublishedMessage {
  readonly id: string;
  readonly topic: string;
  readonly payload: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

export interface SentRequest {
  readonly pattern: string;
  readonly payload: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

type MessageFault = 'drop' | 'duplicate';

export interface MessageFaultOptions {
  /** How many messages it happens to. @default all, until `restore` */
  readonly times?: number;
}

/**
 * The messages of the application: what it sent, and what is to go wrong with them. Payloads and answers are handed over
 * as JSON, each delivery its own copy, so that a test meets what a transport would make of them.
 */
export class TestedMessages {
  readonly #published: PublishedMessage[] = [];
  readonly #requested: SentRequest[] = [];
  readonly #faults = new Rules<MessageFault>();
  readonly #running = new Set<{ readonly what: string }>();

  constructor(
    private readonly broker: MessageBroker,
    private readonly clock: Clock,
    /** How long a request waits that says nothing of it. */
    private readonly requestTimeoutMs: () => number,
  ) {
    this.#watchPublishing();
    this.#watchRequests();
    this.#copyDeliveries();
  }

  /** The messages of a topic that the application published, dropped ones included, the oldest first. */
  published(topic?: string): readonly PublishedMessage[] {
    return this.#published.filter((message) => topic === undefined || message.topic === topic);
  }

  /** The requests of a pattern that the application made, the oldest first. */
  requested(pattern?: MessagePattern): readonly SentRequest[] {
    return this.#requested.filter((request) => pattern === undefined || request.pattern === nameOf(pattern));
  }

  /** @throws when no message of the topic has everything that `payload` says. */
  expectPublished(topic: string, payload?: unknown): void {
    expectOne(`a message for "${topic}"`, payload, this.published(topic), this.#published);
  }

  /** @throws when there is a message of the topic that has everything that `payload` says. */
  expectNotPublished(topic: string, payload?: unknown): void {
    expectNone(`message for "${topic}"`, payload, this.published(topic));
  }

  /** @throws when no request of the pattern has everything that `payload` says. */
  expectRequested(pattern: MessagePattern, payload?: unknown): void {
    expectOne(`a request "${nameOf(pattern)}"`, payload, this.requested(pattern), this.#requested);
  }

  /** @throws when there is a request of the pattern that has everything that `payload` says. */
  expectNotRequested(pattern: MessagePattern, payload?: unknown): void {
    expectNone(`request "${nameOf(pattern)}"`, payload, this.requested(pattern));
  }

  /** Messages of the topic are lost: their publisher is told that they went out. Requests of it wait for their timeout. */
  drop(name: MessagePattern, { times }: MessageFaultOptions = {}): void {
    this.#faults.set(nameOf(name), 'drop', times);
  }

  /** Messages of the topic arrive twice, under one id, as after a lost acknowledgement. Requests run their handler twice. */
  duplicate(name: MessagePattern, { times }: MessageFaultOptions = {}): void {
    this.#faults.set(nameOf(name), 'duplicate', times);
  }

  /** Ends {@link drop} and {@link duplicate}: for one name, or for all. */
  restore(name?: MessagePattern): void {
    this.#faults.clear(name === undefined ? undefined : nameOf(name));
  }

  /** Forgets what was sent. */
  clear(): void {
    this.#published.length = this.#requested.length = 0;
  }

  /** Requests and deliveries that have not ended, in words. */
  get unfinished(): readonly string[] {
    return [...this.#running].map(({ what }) => what);
  }

  #watchPublishing(): void {
    const { broker } = this;
    const publish = broker.publish.bind(broker);
    broker.publish = async (topic, payload, options = {}): Promise<PublishReceipt> => {
      const copy = wireCopy(payload);
      const fault = this.#faults.take(topic);
      if (fault === 'drop') {
        const id = options.id ?? `dropped-${this.#published.length + 1}`;
        this.#published.push({ id, topic, payload: copy, headers: options.headers ?? {} });
        return { id };
      }
      const receipt = await publish(topic, copy, options);
      this.#published.push({ id: receipt.id, topic, payload: copy, headers: options.headers ?? {} });
      if (fault === 'duplicate') await publish(topic, copy, { ...options, id: receipt.id });
      return receipt;
    };
  }

  #watchRequests(): void {
    const { broker } = this;
    const request = broker.request.bind(broker);
    broker.request = async <R>(
      pattern: MessagePattern,
      payload?: unknown,
      options: RequestOptions = {},
    ): Promise<R> => {
      const name = nameOf(pattern);
      const copy = wireCopy(payload);
      const fault = this.#faults.take(name);
      this.#requested.push({ pattern: name, payload: copy, headers: options.headers ?? {} });
      if (fault === 'drop') return this.#during(`request "${name}"`, () => this.#lost(name, options));
      return this.#during(`request "${name}"`, async () => {
        if (fault === 'duplicate') void request(pattern, wireCopy(payload), options).catch(() => undefined);
        return wireCopy(await request<R>(pattern, copy, options)) as R;
      });
    };
  }

  #copyDeliveries(): void {
    const { broker } = this;
    const subscribe = broker.subscribe.bind(broker);
    broker.subscribe = (topic, handler, options) => {
      const receive: MessageHandler<never> = (payload, message) =>
        this.#during(`a handler of "${topic}"`, async () => {
          const copy = wireCopy(payload) as never;
          return handler(copy, withPayload(message, copy));
        });
      return subscribe(topic, receive, { ...options, name: options?.name ?? (handler.name || 'anonymous') });
    };
  }

  async #lost(name: string, { timeoutMs = this.requestTimeoutMs(), signal }: RequestOptions): Promise<never> {
    await this.clock.sleep(timeoutMs, signal);
    throw new RequestTimeoutError(name, timeoutMs);
  }

  async #during<T>(what: string, work: () => Promise<T>): Promise<T> {
    const entry = { what };
    this.#running.add(entry);
    try {
      return await work();
    } finally {
      this.#running.delete(entry);
    }
  }
}

/** The message as it is, class and all, with another payload. */
function withPayload<T>(message: Message<T>, payload: T): Message<T> {
  return Object.assign(Object.create(Object.getPrototypeOf(message) as object) as Message<T>, message, { payload });
}

function nameOf(pattern: MessagePattern): string {
  return typeof pattern === 'string' ? pattern : JSON.stringify(pattern);
}

type Sent = { readonly payload: unknown };

function expectOne(what: string, payload: unknown, candidates: readonly Sent[], all: readonly Sent[]): void {
  if (candidates.some((sent) => payload === undefined || matches(sent.payload, payload))) return;
  const wanted = payload === undefined ? '' : ` with ${shown(payload)}`;
  const found = candidates.length > 0 ? candidates.map((sent) => sent.payload) : all;
  failExpectation(`Expected ${what}${wanted}; there was${listed(found)}`, {
    actual: candidates.map((sent) => sent.payload),
    expected: payload,
  });
}

function expectNone(what: string, payload: unknown, candidates: readonly Sent[]): void {
  const found = candidates.filter((sent) => payload === undefined || matches(sent.payload, payload));
  if (found.length > 0) failExpectation(`Expected no ${what}; there was${listed(found.map((sent) => sent.payload))}`);
}
