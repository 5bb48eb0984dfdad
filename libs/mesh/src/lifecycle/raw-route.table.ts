import type { IncomingMessage, ServerResponse } from 'node:http';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { MeshEvents } from '../core/mesh.events.js';
import type { RawRoute } from '../core/raw-route.js';

/** The routes that are answered ahead of everything of the host. Found by one map look-up, so that others pay next to nothing. */
export class RawRouteTable {
  readonly #routes = new Map<string, Map<RawRoute['method'], RawRoute>>();
  readonly #events: MeshEvents;

  constructor(events: MeshEvents) {
    this.#events = events;
  }

  /** @throws {MeshConfigError} when the path is not absolute, or method and path are taken. */
  add(route: RawRoute): void {
    if (!route.path.startsWith('/')) throw new MeshConfigError(`The path "${route.path}" must begin with "/".`);
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
    const methods = this.#routes.get(withoutTrailingSlash(pathOf(url)));
    return methods?.get((method === 'HEAD' ? 'GET' : method) as RawRoute['method']);
  }

  /** Answers the request. Never rejects: a route that throws becomes a 500 and an event. */
  async answer(route: RawRoute, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? '';
    const path = pathOf(url);
    try {
      const { status, headers, body } = await route.handle({
        method: request.method ?? 'GET',
        path,
        query: new URLSearchParams(url.slice(path.length)),
        headers: request.headers,
        remoteAddress: request.socket.remoteAddress,
      });
      send(request, response, status, { 'content-type': 'application/json; charset=utf-8', ...headers }, body);
    } catch (error) {
      this.#events.emit('http.raw-route-failed', { method: route.method, path: route.path, error });
      const body = JSON.stringify({ statusCode: 500, message: 'Internal server error' });
      if (response.headersSent) response.destroy();
      else send(request, response, 500, { 'content-type': 'application/json; charset=utf-8' }, body);
    }
  }
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string,
): void {
  if (response.destroyed) return;
  response.writeHead(status, { ...headers, 'content-length': String(Buffer.byteLength(body)) });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

function withoutTrailingSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}
