import { NestFactory } from '@nestjs/core';
import { MeshModule, type MeshOptions, MetricsClient, ServiceMesh } from 'nestjs-mesh';
import { HttpMetrics } from '../../libs/mesh/src/metrics/http.metrics.js';
import type { MetricDescription, PrometheusMetrics } from '../../libs/mesh/src/metrics/prometheus.metrics.js';

export interface LiveMetrics {
  readonly defined: readonly MetricDescription[];
  /** A scrape after every room had something to count, of each application. */
  readonly pages: readonly string[];
}

/** Over servers, which need not be there: what is told of a connection is defined without one. */
const OVER_SERVERS: Partial<MeshOptions> = {
  broker: { transport: 'nats', servers: 'nats://127.0.0.1:4222', required: false },
  cache: { redis: { url: 'redis://127.0.0.1:6379' } },
};

/** What applications define and expose, everything at its defaults and over servers. */
export async function liveMetrics(): Promise<LiveMetrics> {
  const defined = new Map<string, MetricDescription>();
  const pages: string[] = [];
  for (const options of [{}, OVER_SERVERS]) {
    const application = await metricsOf(options);
    for (const metric of application.defined) defined.set(metric.name, metric);
    pages.push(application.page);
  }
  return { defined: [...defined.values()], pages };
}

async function metricsOf(options: Partial<MeshOptions>) {
  const app = await NestFactory.createApplicationContext(
    MeshModule.forRoot({
      service: { name: 'documented' },
      logging: { level: 'silent' },
      resilience: { policies: { call: {} } },
      ...options,
    }),
    { logger: false },
  );
  try {
    const mesh = app.get(ServiceMesh);
    const metrics = app.get(MetricsClient) as PrometheusMetrics;
    await mesh.breakers.policy('call').execute(() => 1);
    await mesh.cache.getOrSet('key', () => 1);
    await mesh.broker.request('nobody').catch(() => undefined);
    await mesh.broker.subscribe('topic', () => undefined);
    await mesh.broker.publish('topic', 1, { timeoutMs: 200 }).catch(() => undefined);
    // A context has no HTTP, and the definition is the same wherever it is made.
    new HttpMetrics(metrics).requestFinished({ method: 'GET', route: '/orders/:id', status: 200, durationMs: 5 });
    const { body } = await metrics.expose();
    return { defined: metrics.describe(), page: body };
  } finally {
    await app.close();
  }
}
