import type { Ids } from '../../core/ids.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import { KeyvSecondTierStore } from './keyv.adapter.js';
import type { SecondTierStore } from './second-tier.store.js';

export interface RedisOptions {
  readonly url: string;
}

/**
 * Redis through @keyv/redis, imported only here and only when it is configured.
 * @throws {MeshConfigError} when the package is not installed.
 */
export async function redisStore({ url }: RedisOptions, ids: Ids): Promise<SecondTierStore> {
  const { default: KeyvRedis, createClient } = await importKeyvRedis();
  const client = createClient({
    url,
    // A command that can't be sent now fails now: callers have better things to do than to queue.
    disableOfflineQueue: true,
    commandsQueueMaxLength: 10_000,
    pingInterval: 500,
    socket: {
      connectTimeout: 1_000,
      // For a server that hangs in the handshake; later each command that is sent would put it off, see reconnect().
      // The client would close for good after it without a strategy.
      socketTimeout: 2_000,
      reconnectStrategy: (retries) => 50 + ids.random() * Math.min(950, 50 * 2 ** retries),
    },
  });
  const adapter = new KeyvRedis(client, { throwOnErrors: true, throwOnConnectError: true });
  const store = new KeyvSecondTierStore(adapter);
  return {
    open: (onReady, onError) => {
      client.on('ready', onReady);
      client.on('error', onError);
      // Not awaited: the application starts without Redis, and the strategy above goes on trying.
      client.connect().catch(() => undefined);
    },
    read: (keys) => store.read(keys),
    write: (items) => store.write(items),
    reconnect: () => {
      if (!client.isOpen) return;
      client.destroy();
      client.connect().catch(() => undefined);
    },
    close: async () => {
      if (client.isOpen) client.destroy();
    },
  };
}

async function importKeyvRedis(): Promise<typeof import('@keyv/redis')> {
  try {
    return await import('@keyv/redis');
  } catch (cause) {
    if ((cause as { code?: string }).code !== 'ERR_MODULE_NOT_FOUND') throw cause;
    throw new MeshConfigError('cache.redis needs the package @keyv/redis: npm i @keyv/redis@5 "keyv@>=5.6 <6"');
  }
}
