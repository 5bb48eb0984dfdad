import type { NestProxy } from './nest-transport.js';

/** How many requests wait on each channel, as Nest's clients of Redis and MQTT count them. */
interface CountingClient {
  readonly subscriptionsCount?: Map<string, number>;
}

/**
 * Keeps the channels of answers subscribed. Nest subscribes for each request and unsubscribes after the last; over MQTT
 * two requests of one pattern at once then wait for ever, over any it is two more round trips. One more that waits, for
 * ever, keeps Nest from unsubscribing.
 */
export class ReplyChannels {
  readonly #channelOf: (pattern: string) => string;
  readonly #subscribe: (client: NestProxy, channel: string) => Promise<void>;
  readonly #opening = new Map<string, Promise<void>>();

  constructor(
    channelOf: (pattern: string) => string,
    subscribe: (client: NestProxy, channel: string) => Promise<void>,
  ) {
    this.#channelOf = channelOf;
    this.#subscribe = subscribe;
  }

  /** `undefined` when the answers of the pattern come in already. */
  ensure(client: NestProxy, pattern: string): Promise<void> | undefined {
    const channel = this.#channelOf(pattern);
    const waiting = (client as unknown as CountingClient).subscriptionsCount;
    if (!waiting || (waiting.get(channel) ?? 0) > 0) return undefined;
    let opening = this.#opening.get(channel);
    if (!opening) {
      opening = this.#subscribe(client, channel)
        .then(() => void waiting.set(channel, (waiting.get(channel) ?? 0) + 1))
        .finally(() => this.#opening.delete(channel));
      this.#opening.set(channel, opening);
    }
    return opening;
  }
}
