import type { BaseRpcContext, RmqContext } from '@nestjs/microservices';
import type { ChannelWrapper } from 'amqp-connection-manager';
import { HEADER, type Headers } from '../transport/message-headers.js';
import {
  type NestListener,
  type NestOptions,
  type NestPacket,
  type NestProxy,
  NestTransport,
  type NestTransportParts,
  PASSING_ON,
  refuseOption,
  stringsOf,
} from './nest-transport.js';
import { guardChannels, type RawChannel } from './rmq-guard.adapter.js';

/** Small messages otherwise wait for the acknowledgement of those before them, and a lost connection for five seconds. */
const SOCKET = { reconnectTimeInSeconds: 1, heartbeatIntervalInSeconds: 5, connectionOptions: { noDelay: true } };

/** RabbitMQ with one queue a service, which the publisher names. Instances of a service share that queue. */
export class RmqTransport extends NestTransport {
  override readonly name = 'rmq';
  override readonly capabilities = { ...PASSING_ON, broadcast: false, noResponder: false };
  override readonly address = 'queue';
  protected override readonly packages = ['amqplib', 'amqp-connection-manager'];
  readonly #consumerTag: string;

  /** @throws {MeshConfigError} for what only the mesh's own transport can do. */
  constructor(parts: NestTransportParts) {
    super(parts);
    const { name, instance } = parts.service;
    this.#consumerTag = `${name}/${instance}`;
    const { noAck, wildcards } = parts.server;
    const instead = 'use the transport "rabbitmq"';
    if (noAck === false)
      refuseOption('rmq', 'noAck: false', `nothing here acknowledges a message after its handler; ${instead}`);
    if (wildcards === true)
      refuseOption('rmq', 'wildcards', `Nest binds its queue once, before the handlers are known; ${instead}`);
  }

  override createClient(): NestProxy {
    return guardChannels(new this.nest.ClientRMQ(withSocketOptions(this.client)), this.onFailure);
  }

  override createServer(): NestListener {
    const options = { ...withSocketOptions(this.server), consumerTag: this.#consumerTag };
    return guardChannels(new this.nest.ServerRMQ(options), this.onFailure);
  }

  override packet(pattern: string, data: unknown, headers: Headers): NestPacket {
    // Nobody waits for a request any longer; a queue without consumers drops it then.
    const expiration = headers[HEADER.timeoutMs];
    const options = { headers: { ...headers }, ...(expiration !== undefined && { expiration }) };
    return { pattern, data: new this.nest.RmqRecord(data, options) };
  }

  override headersOf(context: BaseRpcContext): Headers {
    const { properties } = (context as RmqContext).getMessage() as { readonly properties: { headers?: unknown } };
    return stringsOf(properties.headers);
  }

  /** By the setup of the channel, which runs after each reconnect as well. */
  override async pause(server: NestListener): Promise<void> {
    await wrapperOf(server).addSetup((channel: RawChannel) => channel.cancel(this.#consumerTag));
  }
}

/** Nest keeps it to itself. */
function wrapperOf(server: NestListener): ChannelWrapper {
  return (server as unknown as { readonly channel: ChannelWrapper }).channel;
}

function withSocketOptions(options: NestOptions): NestOptions {
  return { ...options, socketOptions: { ...SOCKET, ...(options['socketOptions'] as object | undefined) } };
}
