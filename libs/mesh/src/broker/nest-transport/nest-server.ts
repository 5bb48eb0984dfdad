import type { BaseRpcContext } from '@nestjs/microservices';
import { type Observable, type Subscription, throwError } from 'rxjs';
import type { Clock } from '../../core/clock.js';
import type { Ids } from '../../core/ids.js';
import { patternKey } from '../message-pattern.js';
import { atMost } from '../transport/at-most.js';
import { HEADER } from '../transport/message-headers.js';
import { decodePayload, encodePayload } from '../transport/payload.codec.js';
import type { ConsumeSpec, IncomingEvent, IncomingRequest, Intake } from '../transport/transport-driver.port.js';
import { bytesRevived } from './json-bytes.js';
import type { NestListener, NestTransport } from './nest-transport.js';
import { probePattern } from './probe-pattern.js';

const CLOSE_MS = 1_000;

type OnRequest = (request: IncomingRequest) => void;
type OnEvent = (event: IncomingEvent) => void;

export interface ServerHost {
  readonly clock: Clock;
  readonly ids: Ids;
  onUp(): void;
  onDown(reason: string): void;
}

/** A channel, opened for the first who needs it and closed by the last. */
interface Channel {
  readonly opened: Promise<void>;
  users: number;
}

/** Nest's server of one transport, whose messages the broker handles: it listens when the first intake opens. */
export class NestServer {
  readonly #transport: NestTransport;
  readonly #host: ServerHost;
  readonly #requests = new Map<string, OnRequest>();
  readonly #events = new Map<string, Set<OnEvent>>();
  readonly #channels = new Map<string, Channel>();
  #server: Promise<NestListener> | undefined;
  #statuses: Subscription | undefined;
  /** How often the connection came or went. */
  #changes = 0;

  constructor(transport: NestTransport, host: ServerHost) {
    this.#transport = transport;
    this.#host = host;
  }

  async serve(pattern: string, onRequest: OnRequest): Promise<Intake> {
    const routes = new Map([
      [pattern, onRequest],
      [probePattern(pattern), asProbe(onRequest)],
    ]);
    for (const [name, route] of routes) this.#requests.set(name, route);
    // What the broker still hands over until it is closed is served.
    const stop = async (): Promise<void> => {
      await Promise.all([...routes.keys()].map((name) => this.#close(name)));
      for (const [name, route] of routes) if (this.#requests.get(name) === route) this.#requests.delete(name);
    };
    try {
      await Promise.all([...routes.keys()].map((name) => this.#open(name)));
    } catch (error) {
      await stop();
      throw error;
    }
    return { stop };
  }

  async consume(spec: ConsumeSpec, onEvent: OnEvent): Promise<Intake> {
    const channel = this.#transport.channelOf(spec);
    const consumers = this.#events.get(channel) ?? new Set();
    this.#events.set(channel, consumers.add(onEvent));
    try {
      await this.#open(channel);
    } catch (error) {
      consumers.delete(onEvent);
      throw error;
    }
    return {
      // What this member of a group is still handed until it has left is its to handle.
      stop: async () => {
        await this.#close(channel);
        consumers.delete(onEvent);
      },
    };
  }

  /** Listens. A failure rejects, and the next call tries again. */
  listen(): Promise<NestListener> {
    this.#server ??= this.#listen().catch((error: unknown) => {
      this.#server = undefined;
      throw error;
    });
    return this.#server;
  }

  async stop(): Promise<void> {
    this.#statuses?.unsubscribe();
    const server = await this.#server?.catch(() => undefined);
    this.#server = undefined;
    if (!server) return;
    // Nest writes an answer one turn after it was given.
    await new Promise((resolve) => setImmediate(resolve));
    const { clock } = this.#host;
    await atMost(clock, CLOSE_MS, this.#transport.beforeClose(server));
    await atMost(clock, CLOSE_MS, Promise.resolve(server.close()));
  }

  async #listen(): Promise<NestListener> {
    const server = this.#transport.createServer();
    // Instead of Nest's own table: an event has any number of handlers here, and a request is found without parsing.
    server.getHandlerByPattern = (pattern) =>
      this.#handlerOf(pattern) as ReturnType<NestListener['getHandlerByPattern']>;
    server.handleEvent = async (pattern, { data }, context) => this.#onEvent(pattern, data, context);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    await server.listen((error?: unknown) => (error ? reject(error) : resolve()));
    await promise;
    this.#transport.onListening(server);
    this.#statuses?.unsubscribe();
    this.#statuses = server.status.subscribe((status: string) => this.#onStatus(server, status));
    return server;
  }

  #onStatus(server: NestListener, status: string): void {
    const change = ++this.#changes;
    if (status !== 'connected') return this.#host.onDown(`Nest's server says "${status}"`);
    this.#transport.restored(server).then(
      () => {
        if (change === this.#changes) this.#host.onUp();
      },
      // It broke again, and the next status tells of that.
      () => undefined,
    );
  }

  async #open(name: string): Promise<void> {
    let channel = this.#channels.get(name);
    if (!channel) {
      const opened = this.listen().then((server) => this.#transport.openChannel(server, name));
      this.#channels.set(name, (channel = { opened, users: 0 }));
    }
    channel.users++;
    try {
      await channel.opened;
    } catch (error) {
      // The next who needs it tries again.
      if (this.#channels.get(name) === channel) this.#channels.delete(name);
      throw error;
    }
  }

  async #close(name: string): Promise<void> {
    const channel = this.#channels.get(name);
    if (!channel || --channel.users > 0) return;
    this.#channels.delete(name);
    const server = await this.#server;
    if (!server) return;
    await this.#transport.closeChannel(server, name);
    if (this.#channels.size === 0) await this.#transport.pause(server);
  }

  #handlerOf(pattern: string): ((data: unknown, context: BaseRpcContext) => Promise<unknown>) | null {
    const onRequest = routeOf(this.#requests, pattern);
    return onRequest ? (data, context) => this.#answer(onRequest, data, context) : null;
  }

  /** Settles as Nest expects it of a handler: with the value, or with an Observable that fails. */
  #answer(onRequest: OnRequest, data: unknown, context: BaseRpcContext): Promise<unknown> {
    const headers = this.#transport.headersOf(context);
    const id = headers[HEADER.id];
    return new Promise<unknown>((resolve) => {
      onRequest({
        ...(id !== undefined && { id }),
        headers,
        body: encodePayload(bytesRevived(data)),
        reply: ({ ok, body }) => resolve(ok ? decodePayload(body) : failing(decodePayload(body))),
      });
    });
  }

  #onEvent(pattern: string, data: unknown, context: BaseRpcContext): void {
    const consumers = routeOf(this.#events, pattern);
    if (!consumers || consumers.size === 0) return;
    const { clock, ids } = this.#host;
    const headers = this.#transport.headersOf(context);
    const event: IncomingEvent = {
      id: headers[HEADER.id] ?? ids.next(),
      headers,
      body: encodePayload(bytesRevived(data)),
      publishedAt: Number(headers[HEADER.sentAt]) || clock.now(),
      attempt: 1,
    };
    for (const onEvent of consumers) onEvent(event);
  }
}

/** Nest's own clients write the keys of an object pattern in any order. */
function routeOf<T>(routes: ReadonlyMap<string, T>, pattern: string): T | undefined {
  const route = routes.get(pattern);
  if (route !== undefined || !pattern.startsWith('{')) return route;
  try {
    return routes.get(patternKey(JSON.parse(pattern)));
  } catch {
    return undefined;
  }
}

function failing(error: unknown): Observable<never> {
  return throwError(() => error);
}

/** Asked there, it is a question, whatever its headers say. */
function asProbe(onRequest: OnRequest): OnRequest {
  return (request) => onRequest({ ...request, headers: { ...request.headers, [HEADER.probe]: '1' } });
}
