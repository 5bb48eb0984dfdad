import type { Redis } from 'ioredis';

type Connect = () => Promise<Redis>;

/** What makes the connections: of Nest's client by the first name, of its server by the second. */
interface Connecting {
  createClient?: Connect;
  createRedisClient?: Connect;
}

/**
 * Nest sends commands that it doesn't wait for, and one that fails, because the connection is closed under it, would end
 * the process. Whoever does wait hears of it as before.
 */
export function guardCommands<T extends object>(side: T): T {
  const connecting = side as Connecting;
  for (const name of ['createClient', 'createRedisClient'] as const) {
    const connect = connecting[name]?.bind(side);
    if (connect) connecting[name] = async () => guarded(await connect());
  }
  return side;
}

function guarded(redis: Redis): Redis {
  const send = redis.sendCommand.bind(redis);
  redis.sendCommand = (command, stream) => {
    const sent = send(command, stream);
    if (sent instanceof Promise) sent.catch(() => undefined);
    return sent;
  };
  return redis;
}
