import { fromEvent, isObservable, lastValueFrom, NEVER, takeUntil } from 'rxjs';
import {
  type Message,
  type MessageBroker,
  type MessageHandler,
  type MessagePattern,
  NoResponderError,
  type PublishOptions,
  type PublishReceipt,
  type RequestHandler,
  type RequestMessage,
  type RequestOptions,
} from '../../index.js';
import { Rules } from './rules.js';
import { ofArrivals, outgoing, wireCopy } from './wire-copy.js';

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

/**
 * A broker whose every message is seen, travels as JSON, and may be lost or come twice. Losses of requests happen at the
 * handler, below the policy `broker:<pattern>`, so that timeouts, retries and circuit breakers meet them.
 */
export class WatchedBroker {
  readonly published: PublishedMessage[] = [];
  readonly requested: SentRequest[] = [];
  readonly faults = new Rules<'drop' | 'duplicate'>();
  readonly #running = new Set<{ readonly what: string }>();
  /** Those who take dropped requests of patterns that nobody here serves. */
  readonly #standIns = new Map<string, () => void>();

  constructor(private readonly broker: MessageBroker) {
    this.#watchPublishing();
    this.#watchRequests();
    this.#watchAnswers();
    this.#watchDeliveries();
  }

  /** Requests that wait and handlers that run, in words. */
  get unfinished(): readonly string[] {
    return [...this.#running].map(({ what }) => what);
  }

  #watchPublishing(): void {
    const { broker } = this;
    const send = broker.publish.bind(broker);
    const publish = async (topic: string, payload: unknown, options: PublishOptions): Promise<PublishReceipt> => {
      const isDropped = this.faults.take(topic, 'drop');
      const isDoubled = this.faults.take(topic, 'duplicate');
      const sent = outgoing(payload, options);
      // A lost message has no receivers; what is checked before it leaves is checked all the same.
      const receipt = await send(isDropped ? `${topic} (dropped by the test)` : topic, sent.payload, sent.options);
      const { id } = receipt;
      this.published.push({ id, topic, payload: sent.payload, headers: options.headers ?? {} });
      if (isDoubled) await send(topic, sent.payload, { ...sent.options, id });
      return isDropped ? { id } : receipt;
    };
    broker.publish = (topic, payload, options = {}) => {
      const published = publish(topic, payload, options);
      // The broker tells of failures; one that nobody awaits ends no process.
      published.catch(() => undefined);
      return published;
    };
  }

  #watchRequests(): void {
    const { broker } = this;
    const ask = broker.request.bind(broker);
    broker.request = async <R>(
      pattern: MessagePattern,
      payload?: unknown,
      options: RequestOptions = {},
    ): Promise<R> => {
      const name = nameOf(pattern);
      const { answerSchema } = options;
      const sent = outgoing(payload, {
        ...options,
        ...(answerSchema && { answerSchema: ofArrivals(answerSchema) }),
      });
      this.requested.push({ pattern: name, payload: sent.payload, headers: options.headers ?? {} });
      const request = async (what: string): Promise<R> =>
        this.#during(`${what} "${name}"`, async () => {
          const answer = await ask<R>(pattern, sent.payload, sent.options);
          return answerSchema ? answer : (wireCopy(answer) as R);
        });
      if (this.faults.take(name, 'duplicate')) request('the second of a request').catch(() => undefined);
      const leave = this.#standIn(pattern, name);
      return request('request').finally(leave);
    };
  }

  #watchAnswers(): void {
    const { broker } = this;
    const serve = broker.serve.bind(broker);
    broker.serve = (pattern, handler, options = {}) => {
      const name = nameOf(pattern);
      this.#standIns.get(name)?.();
      const { schema, payloadOnly } = options;
      const answer: RequestHandler = (payload, message) => {
        if (this.faults.take(name, 'drop')) return endOf(message);
        const copy = schema ? payload : (wireCopy(payload) as never);
        const second = (payloadOnly ? undefined : message) as RequestMessage;
        return this.#during(`a handler of "${name}"`, () => handler(copy, second), message);
      };
      return serve(pattern, answer, {
        ...options,
        name: options.name ?? (handler.name || 'anonymous'),
        // The kit needs the message, whether the handler does or not.
        payloadOnly: false,
        ...(schema && { schema: ofArrivals(schema) }),
      });
    };
  }

  #watchDeliveries(): void {
    const { broker } = this;
    const subscribe = broker.subscribe.bind(broker);
    broker.subscribe = (topic, handler, options = {}) => {
      const { schema } = options;
      const receive: MessageHandler<never> = (payload, message) => {
        const copy = wireCopy(message.payload) as never;
        return this.#during(`a handler of "${topic}"`, () =>
          handler(schema ? payload : copy, withPayload(message, copy)),
        );
      };
      return subscribe(topic, receive, {
        ...options,
        name: options.name ?? (handler.name || 'anonymous'),
        ...(schema && { schema: ofArrivals(schema) }),
      });
    };
  }

  /** A request that is to be lost gets as far as it would if another service, which is not there, answered it. */
  #standIn(pattern: MessagePattern, name: string): () => void {
    if (!this.faults.has(name, 'drop')) return () => undefined;
    const nobody = (): never => {
      throw new NoResponderError(name);
    };
    try {
      const end = this.broker.serve(pattern, nobody, { name: 'nobody' });
      this.#standIns.set(name, end);
      return end;
    } catch {
      // The pattern has its handler.
      return () => undefined;
    }
  }

  /** Until the work has ended, an Observable that it answers included. */
  async #during<T>(what: string, work: () => T, request?: RequestMessage): Promise<Awaited<T>> {
    const entry = { what };
    this.#running.add(entry);
    try {
      return (await lastOf(await work(), request)) as Awaited<T>;
    } finally {
      this.#running.delete(entry);
    }
  }
}

/** The last value of an Observable that was answered, or of what it gave until nobody waited any more. */
function lastOf(answer: unknown, request?: RequestMessage): unknown {
  if (!isObservable(answer)) return answer;
  if (request?.signal.aborted) return undefined;
  const end = request ? fromEvent(request.signal, 'abort') : NEVER;
  return lastValueFrom(answer.pipe(takeUntil(end)), { defaultValue: undefined });
}

/** Rejects when nobody waits for the answer any more. */
async function endOf({ signal }: RequestMessage): Promise<never> {
  signal.throwIfAborted();
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** The message as it is, class and all, with another payload. */
function withPayload<T>(message: Message<T>, payload: T): Message<T> {
  return Object.assign(Object.create(Object.getPrototypeOf(message) as object) as Message<T>, message, { payload });
}

/** The name of a pattern, whatever the order of its keys. */
export function nameOf(pattern: unknown): string {
  if (typeof pattern !== 'object') return String(pattern);
  return JSON.stringify(pattern, (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}
