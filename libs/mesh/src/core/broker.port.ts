import type { StandardSchema } from './standard-schema.js';

/** A message name: a string, or the object form that Nest's `@MessagePattern` takes. */
export type MessagePattern = string | Readonly<Record<string, unknown>>;

export interface RequestOptions {
  /** Limit for the whole request in milliseconds; an inherited deadline that ends earlier wins. @default 5_000 */
  readonly timeoutMs?: number;
  /** Aborting it rejects the request with the signal's reason; in-process the handler sees it through its own `signal`. */
  readonly signal?: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether the handler may run twice without harm; without it the policy `broker:<pattern>` retries unsent requests only. */
  readonly idempotent?: boolean;
  /** What the payload must look like; one that does not is a {@link PayloadError}, and nothing is sent. */
  readonly schema?: StandardSchema;
  /** What the answer must look like; the schema's output is what the caller gets. */
  readonly answerSchema?: StandardSchema;
}

/** A request as its handler sees it: the second argument of a Nest handler, `@Ctx()`. */
export interface RequestMessage {
  readonly pattern: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Epoch ms after which nobody waits for the answer. */
  readonly deadlineAt: number;
  /**
   * Aborts when the request's time is over, and in-process when the caller gives up: no cancellation travels to another
   * process. Made on first access.
   */
  readonly signal: AbortSignal;
}

export type RequestHandler = (payload: never, message: RequestMessage) => unknown;

export interface ServeOptions {
  /** What the handler is called in errors and reports. @default the handler's function name */
  readonly name?: string;
  /** The handler takes the payload alone: the broker need not make it a {@link RequestMessage}. @default false */
  readonly payloadOnly?: boolean;
  /** What the payload must look like; the handler gets the schema's output, and never sees one that does not fit. */
  readonly schema?: StandardSchema;
}

export interface PublishOptions {
  /** Message id, one line that is not empty: set it to make a repeat recognisable. @default a new id */
  readonly id?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * When the promise resolves: `sent` once the message left this process, `confirmed` once the transport has taken
   * responsibility for it. In-process both mean: accepted into the memory of every subscription. @default 'sent'
   */
  readonly guarantee?: 'sent' | 'confirmed';
  /**
   * Messages of one key are handled one at a time and in their order by each subscription of each instance, whatever its
   * concurrency; one that fails comes again behind those that follow it. Arrives as the header `mesh-key`.
   */
  readonly key?: string;
  /** How long to wait for the guarantee in milliseconds; a deadline of the caller that ends earlier wins. @default 5_000 */
  readonly timeoutMs?: number;
  /** What the payload must look like; one that does not is a {@link PayloadError}, and nothing is sent. */
  readonly schema?: StandardSchema;
}

/** What is known about a published message. */
export interface PublishReceipt {
  readonly id: string;
  /** How many subscriptions accepted it, where the transport can tell. */
  readonly receivers?: number;
}

/** A message as a subscriber sees it. */
export interface Message<T = unknown> {
  readonly id: string;
  readonly topic: string;
  readonly payload: T;
  readonly headers: Readonly<Record<string, string>>;
  /** Epoch ms. */
  readonly publishedAt: number;
  /** 1 for the first delivery. */
  readonly attempt: number;
}

export interface SubscribeOptions {
  /**
   * What the subscription is called in metrics, events and dead letters. In one process a topic's subscriptions have different
   * names, unless they are in one named group. @default the handler's function name
   */
  readonly name?: string;
  /**
   * Subscriptions of one group share the topic's messages: each goes to one of them, in whichever instance.
   * `false`: every subscription of every instance gets every message. @default service and name
   */
  readonly group?: string | false;
  /**
   * Begins with everything that the transport has stored of the topic, so that an instance can build its state from it at
   * each start. Needs `group: false` and `atLeastOnce`; otherwise it begins with what comes from now on. @default false
   */
  readonly replay?: boolean;
  /**
   * `atLeastOnce`: the transport stores messages for the group and keeps each until it was handled, whatever crashes.
   * `atMostOnce`: what arrives while nobody is connected is not for it. In-process memory is all there is for both.
   * @default 'atMostOnce'
   */
  readonly guarantee?: 'atMostOnce' | 'atLeastOnce';
  /** Handles each message id once in its group, as far as the store of `broker.dedupe` knows. @default false */
  readonly dedupe?: boolean;
  /** What the payload must look like; the handler gets the schema's output. One that does not fit is a dead letter at once. */
  readonly schema?: StandardSchema;
  /** How many messages this subscription handles at once. @default 16 */
  readonly concurrency?: number;
  /** How often a failing message is delivered, the first time included, before it becomes a dead letter. @default 5 */
  readonly maxDeliver?: number;
  /** Milliseconds before the second, third … delivery; the last value repeats. @default [1_000, 5_000, 30_000, 120_000] */
  readonly backoffMs?: readonly number[];
}

export type MessageHandler<T = unknown> = (payload: T, message: Message<T>) => unknown;

/**
 * A running subscription. `stop()` takes no new messages - from a server, none that it hands over once it knows - and
 * resolves when the running handlers are done.
 */
export interface Subscription {
  readonly topic: string;
  stop(): Promise<void>;
}

export interface DrainOptions {
  /** Epoch ms after which the drain gives up waiting. */
  readonly deadlineAt: number;
}

/** What a drain did: how many handlers finished, and what was still running or waiting at the deadline. */
export interface DrainReport {
  readonly finished: number;
  readonly abandoned: readonly { readonly name: string; readonly ageMs: number }[];
}

/** A message that a subscription could not handle. */
export interface DeadLetter {
  readonly message: Message;
  /** The subscription that gave it up. */
  readonly handler: string;
  readonly attempts: number;
  /** What the last delivery failed with; from another process, its text. */
  readonly error: unknown;
  /** Epoch ms. */
  readonly failedAt: number;
}

/**
 * The dead letters of one topic. In memory its methods answer at once; `await` serves every transport. Those of a server
 * reject with `MESH_DEAD_LETTERS_UNREACHABLE` while it is away.
 */
export interface DeadLetters {
  /** The oldest first; at most 1,000. */
  list(): readonly DeadLetter[] | Promise<readonly DeadLetter[]>;
  /**
   * Delivers the letters (those with these message ids, when given) again, as first attempts, to the subscriptions that
   * gave them up. Returns how many went.
   */
  redrive(ids?: readonly string[]): number | Promise<number>;
  /** Forgets the letters (those with these message ids, when given). Returns how many. */
  discard(ids?: readonly string[]): number | Promise<number>;
}

export interface WaitForOptions {
  /** @default 10_000 */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** The side of a broker that handlers are given to: Nest's, and those that code registers itself. */
export interface MessageServer {
  /**
   * Answers requests of `pattern` from now on. Returns the function that ends it.
   * @throws {MeshConfigError} when the pattern has a handler already: it would be unclear who answers.
   */
  serve(pattern: unknown, handler: RequestHandler, options?: ServeOptions): () => void;
  subscribe(topic: string, handler: MessageHandler, options?: SubscribeOptions): Promise<Subscription>;
}

/** Requests and events between services. In-process by default; payloads then pass by reference. */
export abstract class MessageBroker implements MessageServer {
  /**
   * Asks the handler of `pattern` and resolves with its answer; a handler that answers nothing resolves `undefined`.
   * @throws {NoResponderError} when nobody serves the pattern.
   * @throws {RequestTimeoutError} when there is no answer in time.
   */
  abstract request<R = unknown>(pattern: MessagePattern, payload?: unknown, options?: RequestOptions): Promise<R>;
  /**
   * Hands the message to every subscriber of `topic`; neither waits for their work nor fails with it.
   * @throws {OverloadedError} when a subscription's buffer is full; nobody got the message then.
   */
  abstract publish(topic: string, payload?: unknown, options?: PublishOptions): Promise<PublishReceipt>;
  abstract subscribe<T = unknown>(
    topic: string,
    handler: MessageHandler<T>,
    options?: SubscribeOptions,
  ): Promise<Subscription>;
  /**
   * Answers requests of `pattern` from now on. Returns the function that ends it.
   * @throws {MeshConfigError} when the pattern has a handler already: it would be unclear who answers.
   */
  abstract serve(pattern: unknown, handler: RequestHandler, options?: ServeOptions): () => void;
  /**
   * Resolves when every pattern has somebody who answers it.
   * @throws {RequestTimeoutError} that names those without, when the time is over.
   */
  abstract waitFor(patterns: readonly MessagePattern[], options?: WaitForOptions): Promise<void>;
  /** The messages of `topic` that were given up: to list, to deliver again, to discard. */
  abstract deadLetters(topic: string): DeadLetters;
  /**
   * Waits for what was accepted, including the requests that it makes. Work that begins outside any call context is
   * refused with a retryable {@link DrainingError}.
   */
  abstract drain(options: DrainOptions): Promise<DrainReport>;
}
