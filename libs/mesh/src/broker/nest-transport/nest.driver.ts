import type { Clock } from '../../core/clock.js';
import type { Ids } from '../../core/ids.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import type { ServiceInfo } from '../../core/service-info.js';
import { CapabilityMissingError } from '../broker.errors.js';
import type { NestBrokerOptions } from '../broker.options.js';
import type {
  ConsumeSpec,
  DriverHost,
  IncomingEvent,
  IncomingRequest,
  Intake,
  OutgoingMessage,
  OutgoingRequest,
  TransportCapabilities,
  TransportDriver,
} from '../transport/transport-driver.port.js';
import { MqttTransport } from './mqtt.adapter.js';
import { NatsTransport } from './nats.adapter.js';
import { NestClient } from './nest-client.js';
import type { NestReply } from './nest-reply.js';
import { NestServer } from './nest-server.js';
import type { NestTransport, NestTransportParts } from './nest-transport.js';
import type { NestTransportName } from './nest-transport.options.js';
import { RedisTransport } from './redis.adapter.js';
import { RmqTransport } from './rmq.adapter.js';
import { TcpTransport } from './tcp.transport.js';

const TRANSPORTS: Readonly<Record<NestTransportName, new (parts: NestTransportParts) => NestTransport>> = {
  tcp: TcpTransport,
  redis: RedisTransport,
  nats: NatsTransport,
  rmq: RmqTransport,
  mqtt: MqttTransport,
};

export type NestDriverOptions = NestBrokerOptions & { readonly via: NestTransportName };

interface DriverParts {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly service: ServiceInfo;
}

/**
 * One of Nest's transports, in Nest's own wire format: services without the mesh are asked, and ask. What they lack -
 * timeouts, rejection on disconnect, errors with a code, a drain - the broker adds on this side.
 */
export class NestDriver implements TransportDriver {
  readonly name: string;
  readonly capabilities: TransportCapabilities;
  readonly #parts: DriverParts;
  readonly #transport: NestTransport;
  /** The sides that are not there, and why. */
  readonly #away = new Map<'client' | 'server', string>();
  #host: DriverHost | undefined;
  #client: NestClient | undefined;
  #server: NestServer | undefined;
  #stopping = false;

  /** @throws {MeshConfigError} for options with which nothing could go out or come in. */
  constructor({ via, options, client, server }: NestDriverOptions, parts: DriverParts) {
    this.#parts = parts;
    const { service } = parts;
    const Transport = TRANSPORTS[via];
    const transport = new Transport({
      service,
      client: { ...options, ...client },
      server: { ...options, ...server },
    });
    this.#transport = transport;
    this.name = `nest (${via})`;
    if (!transport.sends && !transport.receives)
      throw new MeshConfigError(
        `broker.transport "nest" via "${via}" has no ${transport.address}: set broker.client.${transport.address} for what goes out, broker.server.${transport.address} for what comes in, or both.`,
      );
    this.capabilities = { ...transport.capabilities, probes: true, inbound: transport.receives };
  }

  async load(): Promise<void> {
    await this.#transport.load((what, error) => this.#host?.onFailure(what, error));
  }

  async start(host: DriverHost, signal: AbortSignal): Promise<void> {
    this.#host = host;
    const { sends, receives, address } = this.#transport;
    if (receives) {
      this.#server = new NestServer(this.#transport, { ...this.#parts, ...this.#side('server') });
      // A port that is taken is known at the start, whether or not anything is served already.
      if (address === 'port') await this.#server.listen();
    }
    if (sends) {
      this.#client = new NestClient(this.#transport, {
        ...this.#parts,
        ...this.#side('client'),
        onFailure: (what, error) => host.onFailure(what, error),
        onReply: (id, reply) => this.#onReply(id, reply),
        onUnsent: (id, reason) => host.onRequestFailed(id, reason, 'unsent'),
      });
      this.#away.set('client', 'it is not connected yet');
      await this.#client.start(signal);
    }
    this.#tell();
  }

  request(message: OutgoingRequest): void {
    this.#outgoing(`send the request "${message.name}"`).request(message);
  }

  forget(requestId: string): void {
    this.#client?.forget(requestId);
  }

  async publish(message: OutgoingMessage): Promise<void> {
    await this.#outgoing(`send a message for "${message.name}"`).publish(message);
  }

  serve(pattern: string, onRequest: (request: IncomingRequest) => void): Promise<Intake> {
    return this.#incoming.serve(pattern, onRequest);
  }

  consume(spec: ConsumeSpec, onEvent: (event: IncomingEvent) => void): Promise<Intake> {
    return this.#incoming.consume(spec, onEvent);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    // The server first: its last answers may need the client's connection.
    await this.#server?.stop();
    await this.#client?.stop();
  }

  get #incoming(): NestServer {
    if (!this.#server) throw new Error(`${this.name} does not listen.`);
    return this.#server;
  }

  /** @throws {CapabilityMissingError} when the configuration names nobody to send to. */
  #outgoing(what: string): NestClient {
    if (!this.#client)
      throw new CapabilityMissingError(this.name, what, `set broker.client.${this.#transport.address}`);
    return this.#client;
  }

  #side(side: 'client' | 'server') {
    return {
      onUp: () => {
        if (this.#away.delete(side)) this.#tell();
      },
      onDown: (reason: string) => {
        if (this.#stopping) return;
        this.#away.set(side, reason);
        this.#tell();
      },
    };
  }

  /** A service that hears nothing is as far away as one that can't speak. */
  #tell(): void {
    const [reason] = this.#away.values();
    if (reason === undefined) return this.#host?.onConnected();
    this.#host?.onDisconnected(reason);
    this.#client?.forgetAll();
  }

  #onReply(id: string, reply: NestReply): void {
    if (reply.isUnserved) this.#host?.onNoResponder(id);
    else if (reply.failedHere) this.#host?.onRequestFailed(id, (reply.error as Error).message);
    else this.#host?.onReply(id, reply.toWire());
  }
}
