import { beforeEach, describe, expect, it } from 'vitest';
import type { HealthSourceEntry } from '../core/health.port.js';
import type { VirtualClock } from '../testing/virtual-clock.js';
import type { HealthAggregator } from './health.aggregator.js';
import { contributor, CYCLE_MS, HealthFixture } from '../../../../test/e2e/health/health.fixture.js';

describe('HealthSources', () => {
  let fixture: HealthFixture;
  let health: HealthAggregator;
  let clock: VirtualClock;

  beforeEach(() => {
    fixture = new HealthFixture();
    ({ health, clock } = fixture);
  });

  describe('sources', () => {
    const open: HealthSourceEntry = { name: 'pay', status: 'degraded', statusWhenRequired: 'down', reason: 'open' };

    it('shows what belongs to no group in the overview alone', async () => {
      health.addSource('breaker', { readHealth: () => [{ ...open, groups: {} }] });
      await fixture.run();
      expect(health.snapshot('ready')).toMatchObject({ status: 'up', entries: {} });
      const { score, components } = health.overview();
      expect(score).toBeLessThan(100);
      expect(components).toContainEqual(
        expect.objectContaining({ name: 'breaker:pay', state: 'degraded', groups: {} }),
      );
    });

    it('degrades a group that an entry counts in as optional, and never takes it down', async () => {
      let entries: HealthSourceEntry[] = [];
      health.addSource('breaker', { readHealth: () => entries });
      await fixture.run();
      expect(health.snapshot('ready').status).toBe('up');
      entries = [open];
      expect(health.snapshot('ready')).toMatchObject({
        status: 'degraded',
        entries: { 'breaker:pay': { status: 'degraded', reason: 'open' } },
      });
      entries = [];
      expect(health.snapshot('ready')).toMatchObject({ status: 'up', entries: {} });
    });

    it('takes readiness down with an open breaker that the configuration requires', async () => {
      const own = new HealthFixture({ contributors: { 'breaker:pay': { groups: { ready: 'required' } } } });
      own.health.addSource('breaker', { readHealth: () => [open] });
      await own.run();
      expect(own.health.snapshot('ready')).toMatchObject({
        status: 'down',
        entries: { 'breaker:pay': { state: 'degraded' } },
      });
    });

    it('survives a source that throws, and shows nothing that it said before', async () => {
      const half = function* (): Generator<HealthSourceEntry> {
        yield open;
        throw new Error('broken');
      };
      health.addSource('cache', { readHealth: () => half() as Iterable<HealthSourceEntry> as HealthSourceEntry[] });
      await fixture.run();
      expect(health.snapshot('ready')).toMatchObject({
        status: 'degraded',
        entries: { cache: { state: 'down', reason: 'Error: broken' } },
      });
      expect(health.snapshot('ready').entries).not.toHaveProperty('cache:pay');
    });

    it('keeps one snapshot as long as nothing changes', async () => {
      health.addSource('breaker', { readHealth: () => [{ ...open, groups: { ready: 'optional' } }] });
      health.register(contributor('db').contributor);
      await fixture.run();
      const before = health.snapshot('ready');
      await clock.advance(3 * CYCLE_MS);
      expect(health.snapshot('ready')).toBe(before);
    });
  });
});
