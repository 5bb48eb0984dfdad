/** A message name: a string, or the object form that Nest's `@MessagePattern` takes. */
export type MessagePattern = string | Readonly<Record<string, unknown>>;

export interface RequestOptions {
  /** Limit for the whole request in milliseconds; an inherited deadline that ends earlier wins. @default 5_000 */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface PublishOptions {
  /** Message id: set it to make a repeat recognisable. @default a new id */
  readonly id?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What is known about a published message. */
export interface PublishReceipt {
  readonly id: string;
  /** How many handlers accepted it, where the transport can tell. */
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
}

export interface SubscribeOptions {
  /** How many messages this subscription handles at once. @default 16 */
  readonly concurrency?: number;
}

export type MessageHandler<T = unknown> = (payload: T, message: Message<T>) => unknown;

/** A running subscription. `stop()` takes no new messages and resolves when the running handlers are done. */
export interface Subscription {
  readonly topic: string;
  stop(): Promise<void>;
}

export interface DrainOptions {
  /** Epoch ms after which the drain gives up waiting. */
  readonly deadlineAt: number;
}

/** What a drain did: how many handlers finished, and which were still running at the deadline. */
export interface DrainReport {
  readonly finished: number;
  readonly abandoned: readonly { readonly name: string; readonly ageMs: number }[];
}

/** Requests and events between services. In-process by default; payloads then pass by reference. */
export abstract class MessageBroker {
  /**
   * Asks the handler of `pattern` and resolves with its answer; a handler that answers nothing resolves `undefined`.
   * @throws {NoResponderError} when nobody serves the pattern.
   * @throws {RequestTimeoutError} when there is no answer in time.
   */
  abstract request<R = unknown>(pattern: MessagePattern, payload?: unknown, options?: RequestOptions): Promise<R>;
  /** Hands the message to every subscriber of `topic`; does not wait for their work. */
  abstract publish(topic: string, payload?: unknown, options?: PublishOptions): Promise<PublishReceipt>;
  abstract subscribe<T = unknown>(
    topic: string,
    handler: MessageHandler<T>,
    options?: SubscribeOptions,
  ): Promise<Subscription>;
  /** Takes no new work and waits for what runs. New requests are refused with a retryable {@link DrainingError}. */
  abstract drain(options: DrainOptions): Promise<DrainReport>;
}
