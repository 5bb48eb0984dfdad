import { NestFactory } from '@nestjs/core';
import { MeshModule, MetricsClient, ServiceMesh } from 'nestjs-mesh';
import { HttpMetrics } from '../../libs/mesh/src/metrics/http.metrics.js';
import type { MetricDescription, PrometheusMetrics } from '../../libs/mesh/src/metrics/prometheus.metrics.js';

export interface LiveMetrics {
  readonly defined: readonly MetricDescription[];
  /** A scrape after every room had something to count. */
  readonly text: string;
}

/** What an application with everything at its defaults defines and exposes. */
export async function liveMetrics(): Promise<LiveMetrics> {
  const app = await NestFactory.createApplicationContext(
    MeshModule.forRoot({
      service: { name: 'documented' },
      logging: { level: 'silent' },
      resilience: { policies: { call: {} } },
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
    await mesh.broker.publish('topic', 1);
    // A context has no HTTP, and the definition is the same wherever it is made.
    new HttpMetrics(metrics).requestFinished({ method: 'GET', route: '/orders/:id', status: 200, durationMs: 5 });
    const { body } = await metrics.expose();
    return { defined: metrics.describe(), text: body };
  } finally {
    await app.close();
  }
}
