import type { Client, ClientUnaryCall, Metadata, MethodDefinition, ServiceError } from '@grpc/grpc-js';
import type { ClientGrpcProxy } from '@nestjs/microservices';
import type { Clock } from '../../core/clock.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import { CapabilityMissingError, PayloadError } from '../broker.errors.js';
import type { NestBrokerOptions } from '../broker.options.js';
import { loadClient } from '../transport/load-client.js';
import { HEADER, type Headers } from '../transport/message-headers.js';
import { encodePayload } from '../transport/payload.codec.js';
import type {
  DriverHost,
  Intake,
  OutgoingMessage,
  OutgoingRequest,
  TransportDriver,
} from '../transport/transport-driver.port.js';
import { errorReply } from '../transport/wire-error.js';
import { GRPC, isToldByMesh, wireOfStatus } from './grpc-status.js';
import { bytesRevived } from './json-bytes.js';
import { type NestOptions, PASSING_ON, stringsOf } from './nest-transport.js';

type GrpcModule = typeof import('@grpc/grpc-js');
type Channel = ReturnType<Client['getChannel']>;
type Method = MethodDefinition<unknown, unknown> & { readonly originalName?: string };

/** The constructor of a service's client, as the .proto tells of it. */
interface ServiceClass {
  readonly service?: Readonly<Record<string, Method>>;
}

const INSTEAD =
  'serve gRPC with connectMicroservice and @GrpcMethod, which the mesh counts and drains; for events use another transport';

/** gRPC by itself pauses for up to two minutes. */
const RECONNECTING = { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 5_000 };
/** As JSON has it: 64-bit numbers as decimal text, bytes as base64. @see https://protobuf.dev/programming-guides/json */
const AS_JSON = { longs: String, enums: String, bytes: String };

/** Unary methods of gRPC services, through Nest's client: the pattern is `Service.Method`. Nothing else goes over it. */
export class GrpcDriver implements TransportDriver {
  readonly name = 'nest (grpc)';
  readonly capabilities = {
    ...PASSING_ON,
    broadcast: false,
    noResponder: true,
    probes: false,
    inbound: false,
    requestsOnly: INSTEAD,
  };
  readonly #clock: Clock;
  readonly #options: NestOptions;
  readonly #calls = new Map<string, ClientUnaryCall>();
  readonly #ending = new AbortController();
  #host: DriverHost | undefined;
  #grpc: GrpcModule | undefined;
  #proxy: ClientGrpcProxy | undefined;
  #services: ReadonlyMap<string, Readonly<Record<string, Method>>> = new Map();
  #channel: Channel | undefined;

  /** @throws {MeshConfigError} for options without a .proto, and for those of a server. */
  constructor({ options, client, server }: NestBrokerOptions, { clock }: { readonly clock: Clock }) {
    this.#clock = clock;
    const all: NestOptions = { ...options, ...client };
    if (Object.keys(server).length > 0) throw new MeshConfigError(`broker.server can't be had via "grpc": ${INSTEAD}.`);
    if (all['protoPath'] === undefined && all['packageDefinition'] === undefined)
      throw new MeshConfigError(
        'broker.transport "nest" via "grpc" has no .proto: set broker.client.protoPath, package and url.',
      );
    this.#options = {
      ...all,
      loader: { ...AS_JSON, ...(all['loader'] as object | undefined) },
      channelOptions: { ...RECONNECTING, ...(all['channelOptions'] as object | undefined) },
    };
  }

  /** @throws {MeshConfigError} also for a .proto that is not there, or has nothing to call. */
  async load(): Promise<void> {
    const packages = ['@grpc/grpc-js', '@grpc/proto-loader'] as const;
    const [grpc] = await loadClient(
      () => Promise.all([import(packages[0]), import(packages[1])]),
      'broker.transport "nest" via "grpc" needs',
      packages.join(' '),
    );
    const { ClientGrpcProxy } = await import('@nestjs/microservices');
    this.#grpc = grpc;
    try {
      this.#proxy = new ClientGrpcProxy(this.#options as never);
    } catch (error) {
      throw new MeshConfigError(`broker.client can't be used via "grpc": ${(error as Error).message}`);
    }
    this.#services = servicesOf(this.#proxy);
    if (this.#services.size === 0)
      throw new MeshConfigError(
        `The package ${JSON.stringify(this.#options['package'])} of the .proto has no service.`,
      );
  }

  async start(host: DriverHost, signal: AbortSignal): Promise<void> {
    this.#host = host;
    // Clients of one address and the same options share their connection.
    const [first] = this.#services.keys();
    this.#channel = this.#proxy!.getClientByServiceName<Client>(first!).getChannel();
    await this.#connected(this.#channel, AbortSignal.any([signal, this.#ending.signal]));
  }

  request({ id, name, headers, timeoutMs, body }: OutgoingRequest): void {
    const { client, method } = this.#methodOf(name);
    const deadline = this.#clock.now() + timeoutMs;
    const bytes = serialized(name, method, body.data);
    const metadata = this.#metadata(name, {
      ...headers,
      [HEADER.id]: id,
      [HEADER.timeoutMs]: String(timeoutMs),
    });
    if (this.#isFailing) throw new Error(this.#state);
    const call = client.makeUnaryRequest(
      method.path,
      (ready: Buffer) => ready,
      method.responseDeserialize,
      bytes,
      metadata,
      { deadline },
      (error, answer) => {
        // Nobody waits any more.
        if (!this.#calls.delete(id)) return;
        if (!error) this.#host?.onReply(id, { ok: true, body: encodePayload(answer) });
        // Otherwise the broker's own limit ends it in the same moment.
        else if (error.code !== GRPC.deadlineExceeded || this.#clock.now() < deadline) this.#fail(id, error);
        this.#tellState();
      },
    );
    this.#calls.set(id, call);
  }

  forget(requestId: string): void {
    const call = this.#calls.get(requestId);
    this.#calls.delete(requestId);
    call?.cancel();
  }

  publish({ name }: OutgoingMessage): Promise<void> {
    return this.#refuse(`publish a message for "${name}"`);
  }

  serve(pattern: string): Promise<Intake> {
    return this.#refuse(`bring in requests of "${pattern}"`);
  }

  consume({ topic }: { readonly topic: string }): Promise<Intake> {
    return this.#refuse(`bring in messages for "${topic}"`);
  }

  async stop(): Promise<void> {
    this.#ending.abort(new Error('The connection of gRPC is closed.'));
    for (const id of this.#calls.keys()) this.forget(id);
    this.#proxy?.close();
  }

  #refuse(what: string): Promise<never> {
    return Promise.reject(new CapabilityMissingError(this.name, what, INSTEAD));
  }

  /** Resolves at the first connection; the state is told from then on until the end. */
  #connected(channel: Channel, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const giveUp = (): void => reject(new Error(`No success with the connection via grpc: ${this.#state}`));
    signal.addEventListener('abort', giveUp, { once: true });
    const watch = (): void => {
      if (this.#ending.signal.aborted) return;
      const state = channel.getConnectivityState(true);
      if (state === this.#grpc?.connectivityState.READY) {
        signal.removeEventListener('abort', giveUp);
        resolve();
      }
      this.#tellState();
      channel.watchConnectivityState(state, Infinity, watch);
    };
    if (signal.aborted) giveUp();
    else watch();
    return promise;
  }

  /** A server that goes still answers what it has taken, and each call hears of its own end: the others wait for that. */
  #tellState(): void {
    const isUp = this.#channelState === this.#grpc?.connectivityState.READY;
    if (isUp) this.#host?.onConnected();
    else if (this.#isFailing && this.#calls.size === 0) this.#host?.onDisconnected(this.#state);
  }

  #fail(id: string, { code, details, metadata }: ServiceError): void {
    const status = { code, details, metadata: stringsOf(metadata.getMap()) };
    if (code === GRPC.unimplemented) this.#host?.onNoResponder(id);
    // Nobody here cancelled it: the server closed over it, as Nest's does by itself.
    else if ((code === GRPC.unavailable || code === GRPC.cancelled) && !isToldByMesh(status))
      this.#host?.onRequestFailed(id, `${details}; ${this.#state}`);
    else this.#host?.onReply(id, errorReply(wireOfStatus(status)));
  }

  get #channelState(): number | undefined {
    return this.#ending.signal.aborted ? undefined : this.#channel?.getConnectivityState(false);
  }

  get #isFailing(): boolean {
    return this.#channelState === this.#grpc?.connectivityState.TRANSIENT_FAILURE;
  }

  get #state(): string {
    const state = this.#grpc?.connectivityState[this.#channelState ?? -1] ?? 'closed';
    return `the channel to ${this.#channel?.getTarget()} is ${state}`;
  }

  #methodOf(pattern: string): { readonly client: Client; readonly method: Method } {
    const [, service = '', name = ''] = /^(.+)\.([^.]+)$/.exec(pattern) ?? [];
    const methods = this.#services.get(service);
    if (!this.#proxy || !methods) throw unknown(pattern, 'service', [...this.#services.keys()]);
    const method = methods[name] ?? Object.values(methods).find(({ originalName }) => originalName === name);
    if (!method) throw unknown(pattern, `method of ${service}`, Object.keys(methods));
    if (method.requestStream || method.responseStream)
      throw new CapabilityMissingError(
        this.name,
        `call the streaming method "${pattern}"`,
        'call it with ClientGrpc of @nestjs/microservices',
      );
    return { client: this.#proxy.getClientByServiceName<Client>(service), method };
  }

  #metadata(pattern: string, headers: Headers): Metadata {
    const metadata = new this.#grpc!.Metadata();
    try {
      for (const name in headers) metadata.set(name, headers[name]!);
    } catch (error) {
      throw new PayloadError(`The headers of "${pattern}" can't be metadata of gRPC: ${(error as Error).message}.`);
    }
    return metadata;
  }
}

/** Nest keeps them to itself. */
function servicesOf(proxy: ClientGrpcProxy): ReadonlyMap<string, Readonly<Record<string, Method>>> {
  const { grpcClients } = proxy as unknown as { readonly grpcClients: readonly Record<string, ServiceClass>[] };
  const found = grpcClients.flatMap((members) => Object.entries(members));
  return new Map(found.flatMap(([name, { service }]) => (service ? [[name, service]] : [])));
}

function unknown(pattern: string, what: string, known: readonly string[]): PayloadError {
  return new PayloadError(`"${pattern}" names no ${what} in the .proto: it has ${known.join(', ')}.`);
}

/** Over JSON nothing is left of a Buffer that the serialiser would know. */
function serialized(pattern: string, method: Method, { length, buffer, byteOffset }: Uint8Array): Buffer {
  const text = Buffer.from(buffer, byteOffset, length).toString();
  try {
    return method.requestSerialize(text === '' ? {} : JSON.parse(text, (_key, value) => bytesRevived(value)));
  } catch (error) {
    throw new PayloadError(`The payload is no request of "${pattern}": ${(error as Error).message}.`);
  }
}
