import type { Redis } from 'ioredis';
import {
  type NestListener,
  type NestProxy,
  NestTransport,
  type NestTransportParts,
  PASSING_ON,
  refuseOption,
} from './nest-transport.js';
import { guardCommands } from './redis-guard.adapter.js';
import { ReplyChannels } from './reply-channels.js';

/** Nest gives up for ever at the first disconnect, and the client after twenty attempts, unless told otherwise. */
const FOR_EVER = { retryAttempts: Number.MAX_SAFE_INTEGER, retryDelay: 500, maxRetriesPerRequest: null };

/** Redis' publish and subscribe: every instance gets every message, requests too. */
export class RedisTransport extends NestTransport {
  override readonly name = 'redis';
  override readonly capabilities = { ...PASSING_ON, broadcast: true, noResponder: false };
  protected override readonly packages = ['ioredis'];
  readonly #replies = new ReplyChannels(
    (pattern) => `${pattern}.reply`,
    async (client, channel) => void (await subscriber(client).subscribe(channel)),
  );

  /** @throws {MeshConfigError} for wildcards. */
  constructor(parts: NestTransportParts) {
    super(parts);
    if (parts.server['wildcards'] === true)
      refuseOption('redis', 'wildcards', 'a handler here is found by the whole name of its channel');
  }

  override createClient(): NestProxy {
    return guardCommands(new this.nest.ClientRedis({ ...FOR_EVER, ...this.client }));
  }

  override createServer(): NestListener {
    return guardCommands(new this.nest.ServerRedis({ ...FOR_EVER, ...this.server }));
  }

  /** The answer to a ping comes after those to the subscriptions before it. */
  override async restored(side: NestProxy | NestListener): Promise<void> {
    await subscriber(side).ping();
  }

  override beforeRequest(client: NestProxy, pattern: string): Promise<void> | undefined {
    return this.#replies.ensure(client, pattern);
  }

  override async openChannel(server: NestListener, channel: string): Promise<void> {
    await subscriber(server).subscribe(channel);
  }

  override async closeChannel(server: NestListener, channel: string): Promise<void> {
    await subscriber(server).unsubscribe(channel);
  }
}

function subscriber(side: NestProxy | NestListener): Redis {
  return side.unwrap<[pub: Redis, sub: Redis]>()[1];
}
