import type { AmqpConnectionManager } from 'amqp-connection-manager';
import type { OnFailure } from './nest-transport.js';

/** As much of amqplib's channel as is needed here; it comes without types. */
export interface RawChannel {
  consume(...args: never[]): Promise<unknown>;
  cancel(consumerTag: string): Promise<unknown>;
}

type Setup = (channel: RawChannel) => Promise<void>;

/** What makes the connection, of Nest's client and of its server. */
interface Connecting {
  createClient(): AmqpConnectionManager | Promise<AmqpConnectionManager>;
}

/**
 * Hears of what Nest leaves to nobody when a connection breaks: the errors of a channel, a consumer that could not be
 * set up, an answer that could not be sent. Each of them would end the process.
 */
export function guardChannels<T extends object>(side: T, onFailure: OnFailure): T {
  const connecting = side as unknown as Connecting;
  const connect = connecting.createClient.bind(side);
  const guard = (manager: AmqpConnectionManager): AmqpConnectionManager => {
    const create = manager.createChannel.bind(manager);
    manager.createChannel = (options = {}) => {
      const setup = options.setup as Setup;
      const channel = create({ ...options, setup: (raw: RawChannel) => setup(watched(raw, 'consume', onFailure)) });
      channel.on('error', (error) => onFailure('the channel', error));
      return watched(channel, 'sendToQueue', onFailure);
    };
    return manager;
  };
  connecting.createClient = () => {
    const made = connect();
    return made instanceof Promise ? made.then(guard) : guard(made);
  };
  return side;
}

function watched<N extends string, T extends Record<N, (...args: never[]) => Promise<unknown> | null>>(
  target: T,
  name: N,
  onFailure: OnFailure,
): T {
  const method = target[name].bind(target);
  // Whoever gives a callback gets no promise.
  const watching = (...args: never[]): Promise<unknown> | null => {
    const done = method(...args);
    done?.catch((error: unknown) => onFailure(name, error));
    return done;
  };
  return Object.assign(target, { [name]: watching });
}
