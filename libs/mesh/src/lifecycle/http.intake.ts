import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { HttpAdapterHost } from '@nestjs/core';
import type { CallContexts } from '../core/call-context.js';
import type { Clock, Timer } from '../core/clock.js';
import { failureOf, routeTemplate, type HttpObserver } from '../core/http-observer.port.js';
import type { Ids } from '../core/ids.js';
import type { MeshEvents } from '../core/mesh.events.js';
import type { RawRoute } from '../core/raw-route.js';
import type { Tracer } from '../core/trace-context.js';
import type { Drainable } from './drainable.js';
import { identify } from './correlation-header.js';
import { contextHeaders, inboundContext } from './inbound-context.js';
import { RawRouteTable } from './raw-route.table.js';
import { endEventStream, isOpenEventStream } from './event-stream.js';
import { OpenRequest, OpenRequests } from './open-requests.js';

/** The status that nginx logs for a client that left before the answer. */
const CLIENT_LEFT = 499;

/** How often a drain looks for connections that fell idle and streams that opened meanwhile. */
const SWEEP_MS = 50;

/** What both adapters hand to the hook: Node's own objects (Express), or Fastify's, which carry them as `raw`. */
type HookRequest = IncomingMessage & { readonly raw?: IncomingMessage };
type HookResponse = ServerResponse & { readonly raw?: ServerResponse; hijack?(): void };
type Done = (error?: unknown) => void;
type RequestHook = (this: unknown, request: HookRequest, response: HookResponse, done: Done) => unknown;

interface HookedAdapter {
  setOnRequestHook(hook: RequestHook): void;
  getHttpServer(): Partial<Server> | undefined;
  /** Where both adapters keep a hook that was set before the mesh came. */
  readonly onRequestHook?: RequestHook;
}

export interface HttpIntakeDependencies {
  readonly contexts: CallContexts;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly events: MeshEvents;
  /** The application's own tracing, whose spans requests arrive in. */
  readonly tracer?: Tracer | undefined;
}

/**
 * The first to see each HTTP request, ahead of the host's middleware and guards: opens its call context, answers the raw
 * routes, counts what is in flight, and drains it at shutdown. Works on the request hook of Nest's adapters.
 */
export class HttpIntake implements Drainable {
  readonly name = 'http';
  readonly #deps: HttpIntakeDependencies;
  readonly #routes: RawRouteTable;
  readonly #observers: HttpObserver[] = [];
  readonly #open = new OpenRequests((request) => this.#finished(request));
  #adapter: HookedAdapter | undefined;
  #hostHook: RequestHook | undefined;
  #draining = false;
  #closedIntake = false;
  #onIdle: (() => void) | undefined;
  #sweep: Timer | undefined;

  constructor(deps: HttpIntakeDependencies) {
    this.#deps = deps;
    this.#routes = new RawRouteTable(deps.events);
  }

  /** Hooks into the adapter as soon as there is one; an application without HTTP never has one. */
  install(host: HttpAdapterHost): void {
    host.init$.subscribe(() => {
      // A standalone context announces its adapter as well, and has none.
      const adapter = host.httpAdapter as unknown as HookedAdapter | null;
      if (adapter) this.#hook(adapter);
    });
  }

  /** Adds a route that is answered ahead of the host's prefix, versioning, guards and routes. */
  addRoute(route: RawRoute): void {
    this.#routes.add(route);
  }

  /** Tells the observer of every request whose response is over; raw routes are left out. */
  addObserver(observer: HttpObserver): void {
    this.#observers.push(observer);
  }

  /** Requests whose responses are not over yet; open event streams count, raw routes don't. */
  get inFlight(): number {
    return this.#open.size;
  }

  beginDrain(): void {
    this.#draining = true;
    for (const { response } of this.#open) askToReconnect(response);
  }

  connected(): Promise<boolean> {
    const server = this.#server;
    if (!server?.listening || !server.getConnections) return Promise.resolve(false);
    return new Promise((resolve) => server.getConnections?.((error, count) => resolve(error !== null || count > 0)));
  }

  stopIntake(): void {
    if (this.#closedIntake) return;
    this.#closedIntake = true;
    this.beginDrain();
    const server = this.#server;
    // Nest closes the server again later, which Node allows; its callback then gets an error that Nest ignores.
    // Closes idle connections as well.
    if (server?.listening) this.#sparingUnread(() => server.close?.());
    this.#keepSweeping();
  }

  async drained(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#open.size === 0) return this.#closeIdle();
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#onIdle = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
    });
    this.#closeIdle();
  }

  /** Closes every connection, whatever runs on it. */
  abort(): void {
    this.#sweep?.cancel();
    this.#server?.closeAllConnections?.();
  }

  #hook(adapter: HookedAdapter): void {
    this.#adapter = adapter;
    this.#hostHook = adapter.onRequestHook;
    adapter.setOnRequestHook((request, response, done) => this.#onRequest(request, response, done));
    // The slot holds one hook: a host that sets its own in main.ts would remove ours without a word.
    adapter.setOnRequestHook = (hook) => {
      this.#hostHook = hook;
    };
  }

  #onRequest(hookRequest: HookRequest, hookResponse: HookResponse, done: Done): unknown {
    const request = hookRequest.raw ?? hookRequest;
    const response = hookResponse.raw ?? hookResponse;
    const { contexts, clock, ids, tracer } = this.#deps;
    const context = inboundContext(contextHeaders(request.rawHeaders), clock, ids, tracer?.active());
    identify(response, context.correlationId);
    if (this.#draining) askToReconnect(response);

    const route = this.#routes.find(request.method, request.url);
    if (!route) this.#open.add(new OpenRequest(hookRequest, response, context, clock.monotonic()));
    if (!route && !this.#hostHook) return contexts.run(context, done);
    return contexts.run(context, () => {
      if (!route) return this.#hostHook!.call(this.#adapter, hookRequest, hookResponse, done);
      hookResponse.hijack?.();
      void this.#routes.answer(route, request, response);
      return undefined;
    });
  }

  #finished({ request, response, context, startedAt }: OpenRequest): void {
    const status = response.headersSent ? response.statusCode : CLIENT_LEFT;
    const finished = {
      method: response.req.method ?? 'GET',
      route: routeTemplate(request),
      status,
      failure: status >= 400 ? failureOf(response) : undefined,
      durationMs: this.#deps.clock.monotonic() - startedAt,
    };
    for (const observer of this.#observers) observer.requestFinished(finished, context);
    if (this.#open.size > 0) return;
    this.#sweep?.cancel();
    this.#onIdle?.();
  }

  /** Connections fall idle and streams open at any time during the drain, and nothing announces either. */
  #keepSweeping(): void {
    for (const { response } of this.#open) if (isOpenEventStream(response)) endEventStream(response);
    this.#closeIdle();
    if (this.#open.size > 0) this.#sweep = this.#deps.clock.setTimer(() => this.#keepSweeping(), SWEEP_MS);
  }

  #closeIdle(): void {
    this.#sparingUnread(() => this.#server?.closeIdleConnections?.());
  }

  /**
   * Node takes a connection for idle once its response was ended, even when a slow client has most of it still to come;
   * it looks at `finished`, which is no more than "ended".
   */
  #sparingUnread(close: () => void): void {
    const unread = [...this.#open].map(({ response }) => response).filter(isUnread);
    for (const response of unread) setFinished(response, false);
    try {
      close();
    } finally {
      for (const response of unread) setFinished(response, true);
    }
  }

  get #server(): Partial<Server> | undefined {
    return this.#adapter?.getHttpServer();
  }
}

/** Its handler has ended it, and the client has not got all of it. HTTP/2 streams close by themselves. */
function isUnread(response: ServerResponse): boolean {
  return response.req.httpVersionMajor < 2 && response.writableEnded && !response.writableFinished;
}

function setFinished(response: ServerResponse, finished: boolean): void {
  Object.assign(response, { finished });
}

/** The client opens a new connection for its next request, which the load balancer sends elsewhere. HTTP/2 has no such header. */
function askToReconnect(response: ServerResponse): void {
  if (!response.headersSent && response.req.httpVersionMajor < 2) response.setHeader('connection', 'close');
}
