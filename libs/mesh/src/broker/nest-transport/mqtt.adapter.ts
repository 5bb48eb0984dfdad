import type { Socket } from 'node:net';
import type { BaseRpcContext, MqttContext } from '@nestjs/microservices';
import type { IClientSubscribeOptions, MqttClient } from 'mqtt';
import type { Headers } from '../transport/message-headers.js';
import type { TransportCapabilities } from '../transport/transport-driver.port.js';
import {
  NestTransport,
  stringsOf,
  type NestPacket,
  type NestListener,
  type NestProxy,
  PASSING_ON,
} from './nest-transport.js';
import { ReplyChannels } from './reply-channels.js';

const DEFAULTS = { protocolVersion: 5, reconnectPeriod: 500 };

/** MQTT: every instance gets every message, requests too. Headers are user properties, which MQTT has since version 5. */
export class MqttTransport extends NestTransport {
  override readonly name = 'mqtt';
  protected override readonly packages = ['mqtt'];
  readonly #replies = new ReplyChannels(
    (pattern) => `${pattern}/reply`,
    async (client, channel) => void (await client.unwrap<MqttClient>().subscribeAsync(channel)),
  );

  override get capabilities(): TransportCapabilities {
    const { protocolVersion = DEFAULTS.protocolVersion } = this.client;
    return { ...PASSING_ON, broadcast: true, noResponder: false, headers: protocolVersion === 5 };
  }

  override createClient(): NestProxy {
    return new this.nest.ClientMqtt({ ...DEFAULTS, ...this.client } as object);
  }

  override createServer(): NestListener {
    return new this.nest.ServerMqtt({ ...DEFAULTS, ...this.server } as object);
  }

  override packet(pattern: string, data: unknown, headers: Headers): NestPacket {
    const options = { properties: { userProperties: { ...headers } } };
    return { pattern, data: new this.nest.MqttRecord(data, options) };
  }

  override headersOf(context: BaseRpcContext): Headers {
    const { properties } = (context as MqttContext).getPacket() as { properties?: { userProperties?: unknown } };
    return stringsOf(properties?.userProperties);
  }

  override onConnected(client: NestProxy): void {
    sendAtOnce(client.unwrap<MqttClient>());
  }

  override onListening(server: NestListener): void {
    const client = server.unwrap<MqttClient>();
    sendAtOnce(client);
    client.on('connect', () => sendAtOnce(client));
  }

  override beforeRequest(client: NestProxy, pattern: string): Promise<void> | undefined {
    return this.#replies.ensure(client, pattern);
  }

  override async openChannel(server: NestListener, channel: string): Promise<void> {
    const options = this.server['subscribeOptions'] as IClientSubscribeOptions | undefined;
    await server.unwrap<MqttClient>().subscribeAsync(channel, options ?? { qos: 0 });
  }

  override async closeChannel(server: NestListener, channel: string): Promise<void> {
    await server.unwrap<MqttClient>().unsubscribeAsync(channel);
  }
}

/** Otherwise small messages wait for the acknowledgement of those before them. Over WebSockets there is nothing to set. */
function sendAtOnce({ stream }: MqttClient): void {
  (stream as Partial<Socket>).setNoDelay?.(true);
}
