import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { SystemClock } from '../core/clock.js';
import { EventLoopSampler } from '../core/event-loop.sampler.js';
import { fixedOptions } from '../core/live-options.js';
import { MeshEvents } from '../core/mesh.events.js';
import { ServiceInfo } from '../core/service-info.js';
import { metricsSchema } from './metrics.options.js';
import { ProcessMetrics } from './process.metrics.js';
import { PrometheusMetrics } from './prometheus.metrics.js';
import { exposeServiceInfo } from './service.metrics.js';

function setup() {
  const metrics = new PrometheusMetrics(fixedOptions(metricsSchema.parse({})), new MeshEvents());
  const value = async (name: string) => {
    const { body } = await metrics.expose();
    return Number(new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'm').exec(body)?.[1]);
  };
  return { metrics, process: new ProcessMetrics(metrics, new EventLoopSampler(new SystemClock())), value };
}

describe('ProcessMetrics', () => {
  it('reads CPU, memory and files of this process', async () => {
    const { process: own, value } = setup();
    own.start();
    expect(await value('process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(await value('process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
    expect(await value('nodejs_heap_size_used_bytes')).toBeGreaterThan(1_000_000);
    expect(await value('nodejs_active_resources')).toBeGreaterThanOrEqual(0);
    expect(await value('process_start_time_seconds')).toBeCloseTo(performance.timeOrigin / 1_000, -1);
    own.stop();
  });

  // The one thing here that no virtual clock can show: that a blocked loop is seen.
  it('sees that the event loop was blocked', async () => {
    const { process: own, value } = setup();
    own.start();
    await wait(60);
    const until = performance.now() + 200;
    while (performance.now() < until);
    await wait(60);
    const max = await value('nodejs_eventloop_lag_max_seconds');
    expect(max).toBeGreaterThan(0.1);
    expect(max).toBeLessThan(5);
    own.stop();
  });

  it('leaves no callback behind when it is stopped, and may be started again', async () => {
    const { metrics, process: own, value } = setup();
    own.start();
    await metrics.expose();
    own.stop();
    own.stop();
    const before = await value('process_cpu_seconds_total');
    for (let i = 0; i < 5e6; i++) Math.sqrt(i);
    expect(await value('process_cpu_seconds_total')).toBe(before);
    own.start();
    const { user, system } = process.cpuUsage();
    const after = await value('process_cpu_seconds_total');
    expect(after).toBeGreaterThan(before);
    expect(after).toBeCloseTo((user + system) / 1e6, 0);
    own.stop();
  });
});

describe('exposeServiceInfo', () => {
  it('says once who this is', async () => {
    const { metrics } = setup();
    exposeServiceInfo(metrics, new ServiceInfo('shop', 'shop-1', '1.4.0'));
    expect((await metrics.expose()).body).toContain(
      `mesh_build_info{service="shop",service_instance="shop-1",version="1.4.0",node_version="${process.version}"} 1\n`,
    );
  });
});
