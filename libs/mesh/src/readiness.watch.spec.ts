import { beforeEach, describe, expect, it } from 'vitest';
import { HealthFixture } from '../../../test/e2e/health/health.fixture.js';
import type { HealthReport } from './core/health.port.js';
import type { MeshEvents } from './core/mesh.events.js';
import type { HealthAggregator } from './health/health.aggregator.js';
import { readinessWatch } from './readiness.watch.js';
import type { VirtualClock } from './testing/virtual-clock.js';

let clock: VirtualClock;
let events: MeshEvents;
let health: HealthAggregator;
let downs: string[];
let answer: () => HealthReport;

const watch = () =>
  readinessWatch(health, events, clock)((culprit, reason) => void downs.push(`${culprit}: ${reason}`));

beforeEach(async () => {
  ({ clock, events, health } = new HealthFixture());
  downs = [];
  answer = () => ({ status: 'up' });
  health.register({ name: 'db', groups: { ready: 'required' }, check: () => answer() });
  health.register({ name: 'search', groups: { ready: 'optional' } });
  await health.start();
  health.setPhase('ready');
});

describe('the watch after an update', () => {
  it('sees within its 5 s that something required has begun to fail, though its checks are further apart', async () => {
    const stop = watch();
    answer = () => ({ status: 'down', reason: 'no answer' });
    await clock.advance(4_000);
    expect(downs).toEqual(['db: no answer']);
    stop();
  });

  it('minds neither what is optional nor what was down before', async () => {
    health.update('db', { status: 'down', reason: 'before' });
    const stop = watch();
    health.update('search', { status: 'down' });
    health.update('db', { status: 'down', reason: 'still' });
    await clock.advance(2_000);
    expect(downs).toEqual([]);
    stop();
  });

  it("does not take the application's own leaving for a failure", async () => {
    const stop = watch();
    health.setUnready('maintenance');
    health.setPhase('draining');
    events.emit('health.transition', { contributor: 'search', from: 'up', to: 'degraded' });
    expect(downs).toEqual([]);
    stop();
  });

  it('sees a circuit breaker open that readiness requires', () => {
    let open = false;
    health.addSource('breaker', {
      readHealth: () =>
        open
          ? [
              {
                name: 'pay',
                status: 'degraded',
                statusWhenRequired: 'down',
                groups: { ready: 'required' },
                reason: 'open',
              },
            ]
          : [],
    });
    const stop = watch();
    open = true;
    events.emit('breaker.transition', {
      policy: 'pay',
      from: 'closed',
      to: 'open',
      reason: 'failures',
      calls: 10,
      failures: 10,
    });
    expect(downs).toEqual(['breaker:pay: open']);
    stop();
  });

  it('leaves no timer and no listener behind', () => {
    const [timers, listeners] = [clock.pendingTimers, events.listenerCount()];
    watch()();
    expect([clock.pendingTimers, events.listenerCount()]).toEqual([timers, listeners]);
  });
});
