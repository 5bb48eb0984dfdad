import type { MetricsClient } from '../core/metrics.port.js';
import type { RawRoute } from '../core/raw-route.js';

/** `GET path` answers with all metrics: OpenMetrics when the `Accept` header asks for it, else Prometheus's text. */
export function metricsRoute(metrics: MetricsClient, path: string): RawRoute {
  return {
    method: 'GET',
    path,
    async handle(request) {
      const { contentType, body } = await metrics.expose(request.headers.accept);
      return { status: 200, headers: { 'content-type': contentType, 'cache-control': 'no-store' }, body };
    },
  };
}
