import {
  MessageBroker,
  type MessageHandler,
  type RequestHandler,
  type ServeOptions,
  type SubscribeOptions,
  type Subscription,
} from '../core/broker.port.js';
import type { PreparedReplacement, ReplaceablePart } from './replaceable-part.js';
import { StandIn } from './stand-in.js';

interface Served {
  readonly pattern: unknown;
  readonly handler: RequestHandler;
  readonly options: ServeOptions | undefined;
  end: () => void;
}

interface Subscribed {
  readonly topic: string;
  readonly handler: MessageHandler;
  readonly options: SubscribeOptions | undefined;
  subscription: Subscription;
}

/** A broker whose handlers and subscriptions follow it to its successor. */
export class ReplaceableBroker implements ReplaceablePart<MessageBroker> {
  readonly #standIn: StandIn<MessageBroker>;
  readonly #served = new Set<Served>();
  readonly #subscribed = new Set<Subscribed>();
  /** While a successor is prepared: a subscription that came then would be on the old broker alone. */
  #moving: Promise<void> | undefined;

  constructor(broker: MessageBroker) {
    this.#standIn = new StandIn(MessageBroker, broker, {
      serve: (pattern, handler, options) => this.#serve(pattern, handler, options),
      subscribe: (topic, handler, options) => this.#subscribe(topic, handler as MessageHandler, options),
    });
  }

  get face(): MessageBroker {
    return this.#standIn.face;
  }

  get part(): MessageBroker {
    return this.#standIn.part;
  }

  async prepare(next: MessageBroker): Promise<PreparedReplacement> {
    const served = new Map<Served, () => void>();
    const subscribed = new Map<Subscribed, Subscription>();
    const { promise, resolve: letSubscribe } = Promise.withResolvers<void>();
    this.#moving = promise;
    const discard = async (): Promise<void> => {
      for (const end of served.values()) end();
      await Promise.all(Array.from(subscribed.values(), (subscription) => subscription.stop()));
      letSubscribe();
    };
    const serveAll = (): void => {
      for (const each of this.#served)
        if (!served.has(each)) served.set(each, next.serve(each.pattern, each.handler, each.options));
    };
    try {
      serveAll();
      for (const each of this.#subscribed)
        subscribed.set(each, await next.subscribe(each.topic, each.handler, each.options));
    } catch (error) {
      await discard();
      throw error;
    }
    return {
      discard,
      commit: () => {
        serveAll();
        this.#standIn.switchTo(next);
        // The old broker keeps its handlers for what it has accepted; its drain and its stop end them.
        for (const [each, end] of served) {
          if (this.#served.has(each)) each.end = end;
          else end();
        }
        for (const [each, subscription] of subscribed) {
          if (this.#subscribed.has(each)) each.subscription = subscription;
          else void subscription.stop();
        }
        letSubscribe();
        (next as { startConsuming?(): void }).startConsuming?.();
      },
    };
  }

  #serve(pattern: unknown, handler: RequestHandler, options?: ServeOptions): () => void {
    const served: Served = { pattern, handler, options, end: this.part.serve(pattern, handler, options) };
    this.#served.add(served);
    return () => {
      this.#served.delete(served);
      served.end();
    };
  }

  async #subscribe(topic: string, handler: MessageHandler, options?: SubscribeOptions): Promise<Subscription> {
    await this.#moving;
    const broker = this.part;
    const subscription = await broker.subscribe(topic, handler, options);
    await this.#moving;
    if (broker !== this.part) {
      await subscription.stop();
      return this.#subscribe(topic, handler, options);
    }
    const subscribed: Subscribed = { topic, handler, options, subscription };
    this.#subscribed.add(subscribed);
    return {
      topic,
      stop: () => {
        this.#subscribed.delete(subscribed);
        return subscribed.subscription.stop();
      },
    };
  }
}
