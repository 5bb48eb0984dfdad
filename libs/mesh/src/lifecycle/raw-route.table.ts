import type { IncomingMessage, ServerResponse } from 'node:http';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { MeshEvents } from '../core/mesh.events.js';
import type { RawResponse, RawRoute, RawSink } from '../core/raw-route.js';

const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' };

/** The routes that are answered ahead of everything of the host. Found by one map look-up, so that others pay next to nothing. */
export class RawRouteTable {
  readonly #routes = new Map<string, Map<RawRoute['method'], RawRoute>>();
  /** The routes that cover a whole subtree, by its path. */
  readonly #subtrees: { readonly root: string; readonly below: string; readonly route: RawRoute }[] = [];
  readonly #events: MeshEvents;

  constructor(events: MeshEvents) {
    this.#events = events;
  }

  /** @throws {MeshConfigError} when the path is not absolute, or method and path are taken. */
  add(route: RawRoute): void {
    if (!route.path.startsWith('/')) throw new MeshConfigError(`The path "${route.path}" must begin with "/".`);
    if (route.path.endsWith('/*')) return this.#addSubtree(route);
    const path = withoutTrailingSlash(route.path);
    const methods = this.#routes.get(path) ?? new Map<RawRoute['method'], RawRoute>();
    this.#routes.set(path, methods);
    if (methods.has(route.method))
      throw new MeshConfigError(`Two parts of the mesh answer ${route.method} ${path}. Give one of them another path.`);
    methods.set(route.method, route);
  }

  /** The route for a request; a GET route also answers HEAD. Other methods on its path stay the host's. */
  find(method: string | undefined, url: string | undefined): RawRoute | undefined {
    if (url === undefined) return undefined;
    const path = withoutTrailingSlash(pathOf(url));
    const methods = this.#routes.get(path);
    const route = methods?.get((method === 'HEAD' ? 'GET' : method) as RawRoute['method']) ?? methods?.get('ANY');
    return route ?? (this.#subtrees.length > 0 ? this.#findSubtree(path, method) : undefined);
  }

  /** Answers any request, for a listener of its own: 404 when no route is there for it. */
  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const route = this.find(request.method, request.url);
    if (route) return this.answer(route, request, response);
    send(request, response, { status: 404, headers: JSON_TYPE, body: errorBody(404, 'Not found') });
  }

  /** Answers the request. Never rejects: a route that throws becomes a 500 and an event. */
  async answer(route: RawRoute, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? '';
    const path = pathOf(url);
    try {
      const answer = await route.handle({
        method: request.method ?? 'GET',
        path,
        query: new URLSearchParams(url.slice(path.length)),
        headers: request.headers,
        remoteAddress: request.socket.remoteAddress,
        ...(hasBody(request) && { readBody: (maxBytes) => readText(request, maxBytes) }),
      });
      send(request, response, answer);
    } catch (error) {
      this.#events.emit('http.raw-route-failed', { method: route.method, path: route.path, error });
      if (response.headersSent) response.destroy();
      else send(request, response, { status: 500, body: errorBody(500, 'Internal server error') });
    }
  }

  #addSubtree(route: RawRoute): void {
    const root = route.path.slice(0, -2);
    const existing = this.#subtrees.find((subtree) => subtree.root === root && subtree.route.method === route.method);
    if (existing)
      throw new MeshConfigError(`Two parts of the mesh answer ${route.path}. Give one of them another path.`);
    this.#subtrees.push({ root, below: `${root}/`, route });
  }

  #findSubtree(path: string, method: string | undefined): RawRoute | undefined {
    for (const { root, below, route } of this.#subtrees)
      if ((path === root || path.startsWith(below)) && (route.method === 'ANY' || route.method === method))
        return route;
    return undefined;
  }
}

function send(request: IncomingMessage, response: ServerResponse, answer: RawResponse): void {
  if (response.destroyed) return;
  const { status, body, stream } = answer;
  // A body that nobody read to its end would be taken for the next request of the connection.
  const close = hasBody(request) && !request.complete && request.httpVersionMajor < 2 ? { connection: 'close' } : {};
  const headers = { ...JSON_TYPE, ...close, ...answer.headers };
  if (stream && request.method !== 'HEAD') {
    response.writeHead(status, headers);
    response.write(body);
    return stream(sinkOf(response));
  }
  response.writeHead(status, { ...headers, 'content-length': String(Buffer.byteLength(body)) });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function sinkOf(response: ServerResponse): RawSink {
  // Whoever writes learns of a lost connection a turn later; a write until then must not bring the process down.
  response.on('error', () => undefined);
  return {
    write: (text) => void (response.writableEnded || response.write(text)),
    get bufferedBytes() {
      return response.writableLength;
    },
    end: () => void response.end(),
    onClose: (callback) => void response.once('close', callback),
  };
}

function hasBody({ method }: IncomingMessage): boolean {
  return method !== 'GET' && method !== 'HEAD';
}

async function readText(request: IncomingMessage, maxBytes: number): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // Ending the loop early would otherwise end the connection, before the answer that says why.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function errorBody(statusCode: number, message: string): string {
  return JSON.stringify({ statusCode, message });
}

function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

function withoutTrailingSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}
