import type { MeshEvents } from '../../core/mesh.events.js';
import { loadClient } from '../transport/load-client.js';
import type { Claim, DedupeStore } from './dedupe.store.js';

type RedisClient = Awaited<ReturnType<typeof connect>>;

const BUSY = 'busy';
const DONE = 'done';

/**
 * Remembers in Redis, for all instances of a service. Uses the client of @keyv/redis, loaded only when
 * it is configured. While Redis is away every call rejects at once.
 */
export class RedisDedupeStore implements DedupeStore {
  readonly #url: string;
  readonly #prefix: string;
  readonly #onError: (error: unknown) => void;
  #client: Promise<RedisClient> | undefined;
  #stopped = false;

  constructor(url: string, prefix: string, events: MeshEvents) {
    this.#url = url;
    this.#prefix = prefix;
    this.#onError = (error) => events.emit('broker.transport-failed', { transport: 'redis', what: 'dedupe', error });
  }

  /** Does not connect: messages are handled without it while Redis is away. */
  async start(): Promise<void> {
    await loadRedis();
  }

  async claim(key: string, leaseMs: number): Promise<Claim> {
    const client = await this.#connected();
    const before = await client.set(this.#prefix + key, BUSY, {
      condition: 'NX',
      GET: true,
      expiration: { type: 'PX', value: leaseMs },
    });
    if (before === null) return 'mine';
    return before === DONE ? 'done' : 'busy';
  }

  async done(key: string, ttlMs: number): Promise<void> {
    const client = await this.#connected();
    await client.set(this.#prefix + key, DONE, { expiration: { type: 'PX', value: ttlMs } });
  }

  async release(key: string): Promise<void> {
    const client = await this.#connected();
    await client.del(this.#prefix + key);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const client = await this.#client?.catch(() => undefined);
    this.#client = undefined;
    if (client?.isOpen) client.destroy();
  }

  /** A handler that was given up may end after the stop: nobody would close what it opened. */
  #connected(): Promise<RedisClient> {
    if (this.#stopped) return Promise.reject(new Error('The connection of dedupe is closed.'));
    this.#client ??= connect(this.#url, this.#onError).catch((error: unknown) => {
      this.#client = undefined;
      throw error;
    });
    return this.#client;
  }
}

/** @throws {MeshConfigError} when the package is missing. */
function loadRedis() {
  return loadClient(
    () => import('@keyv/redis'),
    'broker.dedupe.redisUrl needs the package @keyv/redis',
    '@keyv/redis@5',
  );
}

async function connect(url: string, onError: (error: unknown) => void) {
  const { createClient } = await loadRedis();
  const client = createClient({
    url,
    disableOfflineQueue: true,
    commandOptions: { timeout: 2_000 },
    socket: { connectTimeout: 2_000, reconnectStrategy: (retries) => Math.min(100 * 2 ** retries, 5_000) },
  });
  // Without a listener a lost connection would end the process.
  client.on('error', onError);
  // Its own retries go on for ever: the first failure is the answer of those who wait now.
  const failed = Promise.withResolvers<never>();
  client.once('error', failed.reject);
  await Promise.race([client.connect(), failed.promise]).catch((error: unknown) => {
    client.destroy();
    throw error;
  });
  return client;
}
