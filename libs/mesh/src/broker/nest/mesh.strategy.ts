import { Server, type MessageHandler as NestHandler } from '@nestjs/microservices';
import type { MessageHandler, MessageServer, RequestHandler, Subscription } from '../../core/broker.port.js';
import { patternKey } from '../message-pattern.js';
import { MESH_TRANSPORT, SUBSCRIPTIONS, type SubscriptionMetadata } from './pattern-metadata.js';
import type { BoundHandler, PlainHandler } from './plain-handler.js';

/** The method whose handler Nest hands over next. */
export interface AnnouncedHandler {
  /** `Class.method`. */
  readonly name: string;
  /** The method bound without Nest's pipeline, when nothing of the user runs in it. */
  readonly plain: PlainHandler | undefined;
}

/**
 * Takes the `@MessagePattern` and `@EventPattern` handlers that Nest finds and gives them to the mesh's broker. There is
 * nothing to listen on: the broker lives in the same process.
 */
export class MeshStrategy extends Server {
  override readonly transportId = MESH_TRANSPORT;
  override readonly propagatesEventHandlerErrors = true;
  readonly #broker: MessageServer;
  readonly #subscriptions: Promise<Subscription>[] = [];
  #announced: AnnouncedHandler = { name: 'anonymous', plain: undefined };

  constructor(broker: MessageServer) {
    super();
    this.#broker = broker;
  }

  announce(handler: AnnouncedHandler): void {
    this.#announced = handler;
  }

  /** Each event handler gets a subscription of its own: Nest would chain those of one topic, and one failure hide the others. */
  override addHandler(
    pattern: unknown,
    callback: NestHandler,
    isEventHandler = false,
    extras?: { readonly [SUBSCRIPTIONS]?: readonly SubscriptionMetadata[] },
  ): void {
    const { name, plain } = this.#announced;
    const handler = plain?.handler ?? (callback as unknown as BoundHandler);
    if (!isEventHandler) {
      this.#broker.serve(pattern, handler as RequestHandler, { name, payloadOnly: plain?.payloadOnly ?? false });
      return;
    }
    const topic = patternKey(pattern);
    const options = extras?.[SUBSCRIPTIONS]?.find((subscription) => subscription.topic === topic)?.options;
    this.#subscriptions.push(this.#broker.subscribe(topic, handler as MessageHandler, { name, ...options }));
  }

  /** Resolves when every event handler is subscribed. */
  async subscribed(): Promise<void> {
    await Promise.all(this.#subscriptions);
  }

  override listen(callback: () => void): void {
    callback();
  }

  override close(): void {
    // The mesh's lifecycle stops the broker.
  }

  override on(): never {
    throw new Error("The mesh's broker has no connection events; listen to MeshEvents.");
  }

  override unwrap<T>(): T {
    return this.#broker as T;
  }
}
