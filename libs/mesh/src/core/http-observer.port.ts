import type { CallContext } from './call-context.js';
import type { MeshError } from './mesh.error.js';

const failures = new WeakMap<object, MeshError>();

/** An HTTP request whose response is over. */
export interface FinishedRequest {
  readonly method: string;
  /** The route's template (`/orders/:id`), never the URL; `undefined` when no route matched. */
  readonly route: string | undefined;
  /** The status that was sent; 499 when the client left before there was one. */
  readonly status: number;
  readonly durationMs: number;
  /** What the mesh answered instead of the handler, where it was an error of its own. */
  readonly failure?: MeshError | undefined;
}

/**
 * Is told of inbound HTTP requests by the intake. Runs on every request: cheap, and never throws. It runs outside the call
 * context, which it gets as an argument: to open one again would cost as much as all that an observer does.
 */
export interface HttpObserver {
  requestFinished(request: FinishedRequest, context: CallContext): void;
}

/**
 * The template of the route that serves a request: the adapter's own object, once its router has run. Works on what
 * Express (`request.route.path`) and Fastify (`request.routeOptions.url`) leave there.
 */
export function routeTemplate(request: object): string | undefined {
  const { route, routeOptions } = request as {
    readonly route?: { readonly path?: unknown };
    readonly routeOptions?: { readonly url?: unknown };
  };
  const template = routeOptions?.url ?? route?.path;
  // Nest's own not-found handler is a route without a slash on Express ("*path"): no route of the application matched.
  return typeof template === 'string' && template.startsWith('/') ? template : undefined;
}

/** Keeps, for the observers, which error a response answers with; the response is the adapter's own object or Node's. */
export function noteFailure(response: object, error: MeshError): void {
  const { raw = response } = response as { readonly raw?: object };
  failures.set(raw, error);
}

/** The error that was noted for Node's response. */
export function failureOf(response: object): MeshError | undefined {
  return failures.get(response);
}
