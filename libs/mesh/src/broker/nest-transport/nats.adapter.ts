import type { Msg, MsgHdrs, NatsConnection, Subscription } from '@nats-io/transport-node';
import type { BaseRpcContext, NatsContext, ServerNats } from '@nestjs/microservices';
import { headersOf } from '../nats/nats.message.js';
import type { Headers } from '../transport/message-headers.js';
import type { ConsumeSpec } from '../transport/transport-driver.port.js';
import {
  NestTransport,
  type OnFailure,
  type NestPacket,
  type NestListener,
  type NestProxy,
  PASSING_ON,
} from './nest-transport.js';

/** Nest gives up after ten attempts, two seconds apart, and its server doesn't say so. */
const FOR_EVER = { maxReconnectAttempts: -1, reconnectTimeWait: 250 };

/** Before the name of a channel that every instance listens to, beside the one that they share. */
const EVERY = 'every instance: ';

/** NATS without JetStream. Instances of a service share through one queue group, the service's name unless `queue` says otherwise. */
export class NatsTransport extends NestTransport {
  override readonly name = 'nats';
  override readonly capabilities = { ...PASSING_ON, broadcast: true, noResponder: true };
  protected override readonly packages = ['@nats-io/transport-node'];
  readonly #subscriptions = new Map<string, Subscription>();
  #newHeaders: () => MsgHdrs = () => {
    throw new Error('The client of NATS is not loaded.');
  };

  override async load(onFailure: OnFailure): Promise<void> {
    await super.load(onFailure);
    this.#newHeaders = (await import('@nats-io/transport-node')).headers;
  }

  override createClient(): NestProxy {
    return new this.nest.ClientNats({ ...FOR_EVER, ...this.client });
  }

  override createServer(): NestListener {
    // The mesh drains it; Nest's own way is to sleep for ten seconds.
    return new this.nest.ServerNats({ ...FOR_EVER, ...this.server, gracefulShutdown: false });
  }

  override packet(pattern: string, data: unknown, headers: Headers): NestPacket {
    const native = this.#newHeaders();
    for (const name in headers) native.set(name, headers[name]!);
    return { pattern, data: new this.nest.NatsRecord(data, native) };
  }

  override headersOf(context: BaseRpcContext): Headers {
    return headersOf((context as NatsContext).getHeaders() as MsgHdrs | undefined);
  }

  override refuses({ message }: Error): boolean {
    return message.includes('max_payload');
  }

  override async restored(side: NestProxy | NestListener): Promise<void> {
    await side.unwrap<NatsConnection>().flush();
  }

  override async dispatched(client: NestProxy): Promise<void> {
    await client.unwrap<NatsConnection>().flush();
  }

  override channelOf({ topic, group }: ConsumeSpec): string {
    return group === false ? EVERY + topic : topic;
  }

  override async openChannel(server: NestListener, channel: string): Promise<void> {
    const connection = server.unwrap<NatsConnection>();
    const isShared = !channel.startsWith(EVERY);
    const onMessage = (server as ServerNats).getMessageHandler(channel) as (error: Error | null, message: Msg) => void;
    const queue = (this.server['queue'] as string | undefined) ?? this.service.name;
    const subscription = connection.subscribe(isShared ? channel : channel.slice(EVERY.length), {
      ...(isShared && { queue }),
      callback: onMessage,
    });
    this.#subscriptions.set(channel, subscription);
    await connection.flush();
  }

  override async closeChannel(_server: NestListener, channel: string): Promise<void> {
    const subscription = this.#subscriptions.get(channel);
    this.#subscriptions.delete(channel);
    if (subscription && !subscription.isClosed()) await subscription.drain();
  }

  override async beforeClose(server: NestListener): Promise<void> {
    await server.unwrap<NatsConnection>().flush();
  }
}
