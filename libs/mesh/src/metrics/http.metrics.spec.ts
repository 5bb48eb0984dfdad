import { describe, expect, it } from 'vitest';
import { fixedOptions } from '../core/live-options.js';
import { MeshEvents } from '../core/mesh.events.js';
import { HttpMetrics } from './http.metrics.js';
import { metricsSchema } from './metrics.options.js';
import { metricsRoute } from './metrics.route.js';
import { PrometheusMetrics } from './prometheus.metrics.js';

function setup(options = {}) {
  const metrics = new PrometheusMetrics(fixedOptions(metricsSchema.parse(options)), new MeshEvents());
  const http = new HttpMetrics(metrics);
  const counts = async () =>
    (await metrics.expose()).body
      .split('\n')
      .filter((line) => line.startsWith('mesh_http_request_duration_seconds_count'));
  return { metrics, http, counts };
}

const finished = { method: 'GET', route: '/orders/:id', status: 200, durationMs: 12 };

describe('HttpMetrics', () => {
  it('counts by method, route template and status class', async () => {
    const { http, counts } = setup();
    for (const status of [200, 201, 404, 503]) http.requestFinished({ ...finished, status });
    http.requestFinished({ ...finished, method: 'POST' });
    expect(await counts()).toEqual([
      'mesh_http_request_duration_seconds_count{method="GET",route="/orders/:id",status="2xx"} 2',
      'mesh_http_request_duration_seconds_count{method="GET",route="/orders/:id",status="4xx"} 1',
      'mesh_http_request_duration_seconds_count{method="GET",route="/orders/:id",status="5xx"} 1',
      'mesh_http_request_duration_seconds_count{method="POST",route="/orders/:id",status="2xx"} 1',
    ]);
  });

  it('measures in seconds', async () => {
    const { http, metrics } = setup();
    http.requestFinished({ ...finished, durationMs: 250 });
    expect((await metrics.expose()).body).toContain('_sum{method="GET",route="/orders/:id",status="2xx"} 0.25\n');
  });

  it('takes unknown methods, unmatched routes and odd statuses together', async () => {
    const { http, counts } = setup();
    http.requestFinished({ method: 'BREW', route: undefined, status: 404, durationMs: 1 });
    http.requestFinished({ method: 'X', route: undefined, status: 0, durationMs: 1 });
    expect(await counts()).toEqual([
      'mesh_http_request_duration_seconds_count{method="_OTHER",route="unmatched",status="4xx"} 1',
      'mesh_http_request_duration_seconds_count{method="_OTHER",route="unmatched",status="none"} 1',
    ]);
  });

  it('keeps a bounded number of routes', async () => {
    const { http, counts } = setup({ maxSeriesPerMetric: 5_000 });
    for (let i = 0; i < 3_000; i++) http.requestFinished({ ...finished, route: `/${i}` });
    const lines = await counts();
    expect(lines).toHaveLength(1_001);
    expect(lines.at(-1)).toBe(
      'mesh_http_request_duration_seconds_count{method="GET",route="__other__",status="2xx"} 2000',
    );
  });
});

describe('metricsRoute', () => {
  const request = (accept?: string) => ({
    method: 'GET',
    path: '/metrics',
    query: new URLSearchParams(),
    headers: accept === undefined ? {} : { accept },
    remoteAddress: '127.0.0.1',
  });

  it('answers with the format that is asked for, and is never cached', async () => {
    const { metrics } = setup();
    const route = metricsRoute(metrics, '/metrics');
    expect(route).toMatchObject({ method: 'GET', path: '/metrics' });
    expect(await route.handle(request())).toMatchObject({
      status: 200,
      headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store' },
      body: expect.stringContaining('mesh_metric_collect_errors_total 0\n'),
    });
    expect((await route.handle(request('application/openmetrics-text'))).body).toMatch(/# EOF\n$/);
  });
});
