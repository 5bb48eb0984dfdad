import type { FinishedRequest, HttpObserver } from '../core/http-observer.port.js';
import type { Histogram, MetricFamily, MetricsClient } from '../core/metrics.port.js';
import { OVERFLOW_LABEL } from './metrics.constants.js';

/** Methods that have a series of their own: a client may send any word as its method. */
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'] as const;
const OTHER_METHOD = '_OTHER';
const UNMATCHED_ROUTE = 'unmatched';
const STATUS_CLASSES = 6;

/** Routes whose handles are kept; an application that has more than this is not one that labels by template. */
const MAX_ROUTES = 1_000;

type Label = 'method' | 'route' | 'status';

/**
 * Rate, errors and duration of inbound HTTP requests, by method, route template and status class.
 * @see https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
 */
export class HttpMetrics implements HttpObserver {
  readonly #durations: MetricFamily<Label, Histogram>;
  /** For each route the handles by method and status class. */
  readonly #routes = new Map<string, (Histogram | undefined)[]>();

  constructor(metrics: MetricsClient) {
    this.#durations = metrics.histogram({
      name: 'mesh_http_request_duration_seconds',
      help: 'How long inbound HTTP requests took, by route template and status class.',
      labels: ['method', 'route', 'status'],
    });
  }

  requestFinished({ method, route = UNMATCHED_ROUTE, status, durationMs }: FinishedRequest): void {
    const handles = this.#routes.get(route) ?? this.#addRoute(route);
    const known = METHODS.indexOf(method as (typeof METHODS)[number]);
    const statusClass = status >= 100 && status < 600 ? Math.trunc(status / 100) : 0;
    const slot = (known === -1 ? METHODS.length : known) * STATUS_CLASSES + statusClass;
    const handle = (handles[slot] ??= this.#durations.with({
      method: METHODS[known] ?? OTHER_METHOD,
      route: handles === this.#routes.get(OVERFLOW_LABEL) ? OVERFLOW_LABEL : route,
      status: statusClass === 0 ? 'none' : `${statusClass}xx`,
    }));
    handle.observe(durationMs / 1_000);
  }

  #addRoute(route: string): (Histogram | undefined)[] {
    const key = this.#routes.size < MAX_ROUTES ? route : OVERFLOW_LABEL;
    let handles = this.#routes.get(key);
    if (!handles) this.#routes.set(key, (handles = []));
    return handles;
  }
}
