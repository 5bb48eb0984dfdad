import { beforeEach, describe, expect, it } from 'vitest';
import { LifecycleBench } from '../../../../test/e2e/lifecycle/lifecycle.fixture.js';
import type { MeshComponent } from '../core/component.port.js';
import { LifecycleHealth } from './lifecycle.health.js';

describe('LifecycleHealth', () => {
  let bench: LifecycleBench;
  let health: LifecycleHealth;
  let search: () => Promise<void>;

  beforeEach(() => {
    bench = new LifecycleBench({ start: { retry: { initialMs: 1_000 } } });
    health = new LifecycleHealth(bench.lifecycle);
    search = () => Promise.reject(new Error('no route'));
    const component: MeshComponent = {
      name: 'search',
      criticality: 'optional',
      timeouts: { startMs: 5_000 },
      start: () => search(),
    };
    bench.lifecycle.register(component, 'mesh');
    bench.lifecycle.register({ name: 'ledger', start: () => undefined }, 'mesh');
  });

  const down = (startAttempts: number) => ({
    name: 'search',
    status: 'degraded',
    reason: 'no route.',
    details: { startAttempts },
  });

  it('says nothing about what starts for the first time, nor about what is up', async () => {
    search = () => bench.clock.sleep(100);
    const started = bench.lifecycle.onMeshInit();
    await bench.clock.advance(50);
    expect(health.readHealth()).toEqual([]);
    await bench.clock.advance(50);
    await started;
    expect(health.readHealth()).toEqual([]);
  });

  it('shows an optional component that did not start, also while it is retried, until it is up', async () => {
    await bench.lifecycle.onMeshInit();
    expect(health.readHealth()).toEqual([down(1)]);
    search = () => bench.clock.sleep(3_000);
    await bench.clock.advance(2_000);
    expect(bench.lifecycle.report().find(({ name }) => name === 'search')!.state).toBe('starting');
    expect(health.readHealth()).toEqual([down(2)]);
    await bench.clock.advance(3_000);
    expect(health.readHealth()).toEqual([]);
  });
});
