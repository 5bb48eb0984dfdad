import { describe, expect, it } from 'vitest';
import { fixedOptions } from '../core/live-options.js';
import { MeshEvents } from '../core/mesh.events.js';
import { EventMetrics } from './event.metrics.js';
import { metricsSchema } from './metrics.options.js';
import { PrometheusMetrics } from './prometheus.metrics.js';

function setup(options = {}) {
  const events = new MeshEvents();
  const metrics = new PrometheusMetrics(fixedOptions(metricsSchema.parse(options)), events);
  return { events, metrics, listener: new EventMetrics(events, metrics) };
}

describe('EventMetrics', () => {
  it('counts events by name, and health transitions by contributor and status', async () => {
    const { events, metrics } = setup();
    events.emit('health.transition', { contributor: 'db', from: 'up', to: 'down' });
    events.emit('health.transition', { contributor: 'db', from: 'down', to: 'up' });
    events.emit('lifecycle.phase', { phase: 'ready', durationMs: 1 });
    const { body } = await metrics.expose();
    expect(body).toContain(
      'mesh_events_total{event="health.transition"} 2\nmesh_events_total{event="lifecycle.phase"} 1\n',
    );
    expect(body).toContain('mesh_health_transitions_total{component="db",to="down"} 1\n');
  });

  it('survives an overflow of its own series, which is an event as well', async () => {
    const { events, metrics } = setup({ maxSeriesPerMetric: 1 });
    events.emit('lifecycle.phase', { phase: 'ready', durationMs: 1 });
    events.emit('lifecycle.warning', { message: 'm' });
    events.emit('lifecycle.warning', { message: 'm' });
    const { body } = await metrics.expose();
    expect(body).toContain('mesh_events_total{event="lifecycle.phase"} 1\nmesh_events_total{event="__other__"} 3\n');
  });

  it('leaves no listener behind when it stops', () => {
    const { events, listener } = setup();
    listener.stop();
    expect(events.listenerCount()).toBe(0);
  });
});
