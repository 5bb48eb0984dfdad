import type { Clock } from '../../core/clock.js';
import type { MeshEvents } from '../../core/mesh.events.js';
import { atMost } from '../transport/at-most.js';
import { loadClient } from '../transport/load-client.js';
import type { Claim, DedupeStore } from './dedupe.store.js';

type RedisClient = Awaited<ReturnType<typeof connect>>;

const BUSY = 'busy';
const DONE = 'done';
/** How long a call waits for its answer, the connection included. */
const ANSWER_MS = 2_000;
/** For how long a Redis that did not answer is not asked again. */
const SILENT_MS = 5_000;

interface StoreParts {
  readonly clock: Clock;
  readonly events: MeshEvents;
}

/**
 * Remembers in Redis, for all instances of a service. Uses the client of @keyv/redis, loaded only when
 * it is configured. While Redis is away every call rejects at once; one that hangs is waited for 2 seconds, then every
 * call rejects at once for 5 seconds.
 */
export class RedisDedupeStore implements DedupeStore {
  readonly #url: string;
  readonly #prefix: string;
  readonly #clock: Clock;
  readonly #onError: (error: unknown) => void;
  /** Of the clock's `monotonic()`. */
  #silentUntil = Number.NEGATIVE_INFINITY;
  #client: Promise<RedisClient> | undefined;
  #stopped = false;

  constructor(url: string, prefix: string, { clock, events }: StoreParts) {
    this.#url = url;
    this.#prefix = prefix;
    this.#clock = clock;
    this.#onError = (error) => events.emit('broker.transport-failed', { transport: 'redis', what: 'dedupe', error });
  }

  /** Does not connect: messages are handled without it while Redis is away. */
  async start(): Promise<void> {
    await loadRedis();
  }

  async claim(key: string, leaseMs: number): Promise<Claim> {
    const before = await this.#ask((client) =>
      client.set(this.#prefix + key, BUSY, {
        condition: 'NX',
        GET: true,
        expiration: { type: 'PX', value: leaseMs },
      }),
    );
    if (before === null) return 'mine';
    return before === DONE ? 'done' : 'busy';
  }

  async done(key: string, ttlMs: number): Promise<void> {
    const expiration = { type: 'PX', value: ttlMs } as const;
    await this.#ask((client) => client.set(this.#prefix + key, DONE, { expiration }));
  }

  async release(key: string): Promise<void> {
    await this.#ask((client) => client.del(this.#prefix + key));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#disconnect();
  }

  /** The client's own limit ends when a command is written: what a hung server was asked would wait for ever. */
  async #ask<T>(ask: (client: RedisClient) => Promise<T>): Promise<T> {
    if (this.#clock.monotonic() < this.#silentUntil)
      throw new Error(`Redis did not answer within ${ANSWER_MS} ms; it is asked again a few seconds later.`);
    const answer = this.#connected().then(ask);
    if (await atMost(this.#clock, ANSWER_MS, answer)) return answer;
    this.#silentUntil = this.#clock.monotonic() + SILENT_MS;
    void this.#disconnect();
    throw new Error(`Redis did not answer within ${ANSWER_MS} ms.`);
  }

  async #disconnect(): Promise<void> {
    const connecting = this.#client;
    this.#client = undefined;
    const client = await connecting?.catch(() => undefined);
    if (client?.isOpen) client.destroy();
  }

  /** A handler that was given up may end after the stop: nobody would close what it opened. */
  #connected(): Promise<RedisClient> {
    if (this.#stopped) return Promise.reject(new Error('The connection of dedupe is closed.'));
    if (!this.#client) {
      const client = connect(this.#url, this.#clock, this.#onError);
      this.#client = client;
      client.catch(() => {
        if (this.#client === client) this.#client = undefined;
      });
    }
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

async function connect(url: string, clock: Clock, onError: (error: unknown) => void) {
  const { createClient } = await loadRedis();
  const client = createClient({
    url,
    disableOfflineQueue: true,
    socket: { connectTimeout: ANSWER_MS, reconnectStrategy: (retries) => Math.min(100 * 2 ** retries, 5_000) },
  });
  // Without a listener a lost connection would end the process.
  client.on('error', onError);
  // Its own retries go on for ever: the first failure is the answer of those who wait now.
  const failed = Promise.withResolvers<never>();
  client.once('error', failed.reject);
  const connected = Promise.race([client.connect(), failed.promise]);
  // A hung server takes the connection, and then says nothing.
  const isInTime = await atMost(clock, ANSWER_MS, connected);
  if (!isInTime) failed.reject(new Error(`Redis did not answer within ${ANSWER_MS} ms.`));
  await connected.catch((error: unknown) => {
    client.destroy();
    throw error;
  });
  return client;
}
