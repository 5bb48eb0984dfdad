import type { BaseRpcContext, ClientProxy, Server } from '@nestjs/microservices';
import { MeshConfigError } from '../../core/mesh.errors.js';
import type { ServiceInfo } from '../../core/service-info.js';
import type { Headers } from '../transport/message-headers.js';
import type { ConsumeSpec, TransportCapabilities } from '../transport/transport-driver.port.js';
import type { NestTransportName } from './nest-transport.options.js';

export type NestModule = typeof import('@nestjs/microservices');
/** What is used of Nest's clients. */
export type NestProxy = Pick<ClientProxy<never, string>, 'connect' | 'close' | 'unwrap' | 'status'>;
/** What is used of Nest's servers. */
export type NestListener = Pick<
  Server<never, string>,
  'listen' | 'close' | 'unwrap' | 'status' | 'getHandlerByPattern' | 'handleEvent'
>;
export type NestOptions = Readonly<Record<string, unknown>>;

/** A message as Nest's transports carry it. */
export interface NestPacket {
  readonly pattern: string;
  readonly data: unknown;
  readonly metadata?: Headers;
}

/** What none of them can do: nothing is stored or acknowledged, and instances share as the server is told to, if at all. */
export const PASSING_ON = { confirmed: false, durable: false, groups: false, replay: false, headers: true } as const;

export type OnFailure = (what: string, error: unknown) => void;

export interface NestTransportParts {
  readonly service: ServiceInfo;
  readonly client: NestOptions;
  readonly server: NestOptions;
}

/**
 * What is different about one of Nest's transports. The defaults here are those of a transport that has one door for
 * everything and whose server dispatches by the pattern in the packet.
 */
export abstract class NestTransport {
  abstract readonly name: NestTransportName;
  abstract readonly capabilities: TransportCapabilities;
  /** What Nest loads for it: without them it would end the process instead of failing. */
  protected readonly packages: readonly string[] = [];
  /** The option without which there is nobody to send to, and no place to listen at. */
  readonly address: string | undefined = undefined;
  protected readonly service: ServiceInfo;
  /** What goes out, by Nest's options; likewise what comes in. */
  protected readonly client: NestOptions;
  protected readonly server: NestOptions;
  protected onFailure: OnFailure = () => undefined;
  #nest: NestModule | undefined;

  constructor({ service, client, server }: NestTransportParts) {
    this.service = service;
    this.client = client;
    this.server = server;
  }

  abstract createClient(): NestProxy;
  abstract createServer(): NestListener;

  /** Whether the options say to whom. */
  get sends(): boolean {
    return this.address === undefined || this.client[this.address] !== undefined;
  }

  /** Whether the options say where. */
  get receives(): boolean {
    return this.address === undefined || this.server[this.address] !== undefined;
  }

  /**
   * `onFailure` hears of what fails where nobody waits for it.
   * @throws {MeshConfigError} when a package is missing.
   */
  async load(onFailure: OnFailure): Promise<void> {
    this.onFailure = onFailure;
    for (const name of this.packages)
      await import(name).catch((error: Error) => {
        throw new MeshConfigError(
          `broker.transport "nest" via "${this.name}" needs: npm i ${this.packages.join(' ')} (${error.message})`,
        );
      });
    this.#nest = await import('@nestjs/microservices');
  }

  packet(pattern: string, data: unknown, headers: Headers): NestPacket {
    return { pattern, data, metadata: headers };
  }

  headersOf(context: BaseRpcContext): Headers {
    const { getMetadata } = context as { getMetadata?(): unknown };
    return stringsOf(getMetadata?.call(context));
  }

  /** The connection is there, for the first time or again. */
  onConnected(_client: NestProxy): void {
    // Most leave it as Nest made it.
  }

  /** Resolves when everything is subscribed again after a reconnect, of which Nest tells before that. */
  async restored(_side: NestProxy | NestListener): Promise<void> {
    // Most have nothing to subscribe to.
  }

  /** What a request of `pattern` needs before it can be sent; `undefined` when that is there. */
  beforeRequest(_client: NestProxy, _pattern: string): Promise<void> | undefined {
    return undefined;
  }

  /** Resolves when the server has what was dispatched. */
  async dispatched(_client: NestProxy): Promise<void> {
    // Most resolve the dispatch itself only then.
  }

  /** Whether a failure speaks of the message itself: it would fail again, over any connection. */
  refuses(_error: Error): boolean {
    return false;
  }

  onListening(_server: NestListener): void {
    // Most leave it as Nest made it.
  }

  /** What a subscription listens to; what comes in under that name is its. */
  channelOf({ topic }: ConsumeSpec): string {
    return topic;
  }

  /** Lets the messages of a channel come in over a server that listens. */
  async openChannel(_server: NestListener, _channel: string): Promise<void> {
    // Everything comes in by itself.
  }

  async closeChannel(_server: NestListener, _channel: string): Promise<void> {
    // What still comes is answered as not served.
  }

  /** The last channel was closed: takes no more, on the broker's side too. */
  async pause(_server: NestListener): Promise<void> {
    // No channel, no message.
  }

  /** Lets out the answers that are written; the server is closed after it. */
  async beforeClose(_server: NestListener): Promise<void> {
    // Closing lets them out.
  }

  protected get nest(): NestModule {
    if (!this.#nest) throw new Error("Nest's transports are not loaded.");
    return this.#nest;
  }
}

/** Nest would take the option, and the mesh could not keep what it promises. */
export function refuseOption(via: NestTransportName, option: string, why: string): never {
  throw new MeshConfigError(`broker.server.${option} can't be had via "${via}": ${why}.`);
}

/** Those entries that are headers: peers without the mesh may send anything. */
export function stringsOf(values: unknown): Headers {
  if (typeof values !== 'object' || values === null) return {};
  return Object.fromEntries(Object.entries(values).filter(([, value]) => typeof value === 'string'));
}
