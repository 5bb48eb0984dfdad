import type { MessageBroker, MessagePattern } from '../../index.js';
import { failExpectation, listed, shown } from './failed-expectation.js';
import { matches } from './partial-match.js';
import { nameOf, type PublishedMessage, type SentRequest, WatchedBroker } from './watched-broker.js';

export interface MessageFaultOptions {
  /** How many messages it happens to. @default all, until `restore` */
  readonly times?: number;
}

/**
 * The messages of the application: what it sent, and what is to go wrong with them. Payloads and answers are handed over
 * as JSON, each delivery its own copy, so that a test meets what a transport would make of them.
 */
export class TestedMessages {
  readonly #broker: WatchedBroker;

  constructor(broker: MessageBroker) {
    this.#broker = new WatchedBroker(broker);
  }

  /** The messages of a topic that the application published, dropped ones included, the oldest first. */
  published(topic?: string): readonly PublishedMessage[] {
    return this.#broker.published.filter((message) => topic === undefined || message.topic === topic);
  }

  /** The requests of a pattern that the application made, the oldest first. */
  requested(pattern?: MessagePattern): readonly SentRequest[] {
    return this.#broker.requested.filter((request) => pattern === undefined || request.pattern === nameOf(pattern));
  }

  /** @throws when no message of the topic has everything that `payload` says. */
  expectPublished(topic: string, payload?: unknown): void {
    expectOne(`a message for "${topic}"`, payload, { candidates: this.published(topic), all: this.#broker.published });
  }

  /** @throws when there is a message of the topic that has everything that `payload` says. */
  expectNotPublished(topic: string, payload?: unknown): void {
    expectNone(`message for "${topic}"`, payload, this.published(topic));
  }

  /** @throws when no request of the pattern has everything that `payload` says. */
  expectRequested(pattern: MessagePattern, payload?: unknown): void {
    expectOne(`a request "${nameOf(pattern)}"`, payload, {
      candidates: this.requested(pattern),
      all: this.#broker.requested,
    });
  }

  /** @throws when there is a request of the pattern that has everything that `payload` says. */
  expectNotRequested(pattern: MessagePattern, payload?: unknown): void {
    expectNone(`request "${nameOf(pattern)}"`, payload, this.requested(pattern));
  }

  /**
   * Messages of the topic are lost: their publisher is told that they went out. Requests of it reach nobody and wait for
   * their time limit, each attempt of their policy by itself.
   */
  drop(name: MessagePattern, { times }: MessageFaultOptions = {}): void {
    this.#broker.faults.set(nameOf(name), 'drop', times);
  }

  /** Messages of the topic arrive twice, under one id, as after a lost acknowledgement. Requests run their handler twice. */
  duplicate(name: MessagePattern, { times }: MessageFaultOptions = {}): void {
    this.#broker.faults.set(nameOf(name), 'duplicate', times);
  }

  /** Ends {@link drop} and {@link duplicate}: for one name, or for all. */
  restore(name?: MessagePattern): void {
    this.#broker.faults.clear(name === undefined ? undefined : nameOf(name));
  }

  /** Forgets what was sent. */
  clear(): void {
    this.#broker.published.length = this.#broker.requested.length = 0;
  }

  /** Requests that wait and handlers that run, in words. */
  get unfinished(): readonly string[] {
    return this.#broker.unfinished;
  }
}

type Sent = { readonly payload: unknown };

function expectOne(
  what: string,
  payload: unknown,
  { candidates, all }: { readonly candidates: readonly Sent[]; readonly all: readonly Sent[] },
): void {
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
