import type { CallContext } from './call-context.js';

/** An HTTP request whose response is over. */
export interface FinishedRequest {
  readonly method: string;
  /** The route's template (`/orders/:id`), never the URL; `undefined` when no route matched. */
  readonly route: string | undefined;
  /** The status that was sent; 499 when the client left before there was one. */
  readonly status: number;
  readonly durationMs: number;
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
