import { beforeEach, describe, expect, it } from 'vitest';
import type { HealthContributor } from '../core/health.port.js';
import type { VirtualClock } from '../testing/virtual-clock.js';
import type { HealthAggregator } from './health.aggregator.js';
import { contributor, CYCLE_MS, fails, hangs, HealthFixture } from '../../../../test/e2e/health/health.fixture.js';
import { healthSchema } from './health.options.js';

describe('HealthMonitor', () => {
  let fixture: HealthFixture;
  let health: HealthAggregator;
  let clock: VirtualClock;

  beforeEach(() => {
    fixture = new HealthFixture();
    ({ health, clock } = fixture);
  });

  describe('checks', () => {
    it('repeats every check in the background and asks nobody for a probe', async () => {
      const db = contributor('db');
      health.register(db.contributor);
      await fixture.run();
      expect(db.asked).toBe(1);
      for (let i = 0; i < 50; i++) health.snapshot('ready');
      expect(db.asked).toBe(1);
      await clock.advance(10 * CYCLE_MS);
      expect(db.asked).toBeGreaterThanOrEqual(11);
      expect(db.asked).toBeLessThanOrEqual(14);
    });

    it('spreads the intervals of contributors by at most ten percent', async () => {
      const at: number[] = [];
      health.register({ name: 'db', check: () => void at.push(clock.monotonic()) });
      await fixture.run();
      await clock.advance(40 * CYCLE_MS);
      const gaps = at.slice(1).map((time, i) => time - at[i]!);
      expect(Math.min(...gaps)).toBeGreaterThanOrEqual(9_000);
      expect(Math.max(...gaps)).toBeLessThanOrEqual(11_000);
      expect(new Set(gaps).size).toBeGreaterThan(1);
    });

    it('goes down after three failures in a row and up after one success', async () => {
      const db = contributor('db');
      health.register(db.contributor);
      await fixture.run();
      db.answer = fails();
      await clock.advance(2 * CYCLE_MS);
      expect(health.snapshot('ready').status).toBe('up');
      await clock.advance(CYCLE_MS);
      expect(health.snapshot('ready')).toMatchObject({ status: 'down', entries: { db: { reason: 'Error: gone' } } });
      db.answer = () => undefined;
      await clock.advance(CYCLE_MS);
      expect(health.snapshot('ready').status).toBe('up');
      expect(fixture.log).toEqual(['db: unknown > up', 'db: up > down', 'db: down > up']);
    });

    it('is down at once when the very first check fails', async () => {
      const db = contributor('db');
      db.answer = fails();
      health.register(db.contributor);
      await fixture.run();
      expect(health.snapshot('ready').status).toBe('down');
    });

    it('stays up through a flapping that never fails three times in a row', async () => {
      const db = contributor('db');
      health.register(db.contributor);
      await fixture.run();
      db.answer = () => (db.asked % 3 === 0 ? undefined : fails()());
      await clock.advance(30 * CYCLE_MS);
      expect(fixture.log).toEqual(['db: unknown > up']);
    });

    it('gives a check its time and aborts its signal then', async () => {
      const signals: AbortSignal[] = [];
      health.register({
        name: 'db',
        groups: { ready: 'required' },
        check: ({ signal }) => {
          signals.push(signal);
          return hangs();
        },
      });
      const started = health.start();
      await clock.advance(999);
      expect(signals[0]!.aborted).toBe(false);
      await clock.advance(1);
      await started;
      expect(signals[0]!.aborted).toBe(true);
      expect(health.snapshot('ready').entries['db']!.reason).toBe('The check did not answer within 1000 ms.');
    });

    it('never lets a second check join one that hangs, until that is given up', async () => {
      const db = contributor('db');
      db.answer = hangs;
      health.register(db.contributor);
      await fixture.run();
      await clock.advance(20_000);
      expect(db.asked).toBe(1);
      expect(health.overview().components[0]!.failures).toBeGreaterThan(1);
      await clock.advance(20_000);
      expect(db.asked).toBe(2);
    });

    it('counts a check that hangs as long as it was waited for, and no other', async () => {
      const db = contributor('db');
      db.answer = hangs;
      health.register(db.contributor);
      await fixture.run();
      await clock.advance(20_000);
      expect(health.overview().components[0]!.history).toMatchObject({ p50Ms: 1_000, p95Ms: 1_000, availability: 0 });
      const { body } = await fixture.metrics.expose();
      expect(body).toMatch(/mesh_health_check_duration_seconds_count\{component="db"\} 1\n/);
    });

    it('shares one run among all who want a check now', async () => {
      const db = contributor('db');
      let answer = (): void => undefined;
      db.answer = () => new Promise<void>((resolve) => (answer = resolve));
      health.register(db.contributor);
      const checks = Promise.all([health.checkNow('db'), health.checkNow('db'), health.checkNow('db')]);
      await clock.advance(0);
      answer();
      await checks;
      expect(db.asked).toBe(1);
      expect(health.overview().components[0]).toMatchObject({ state: 'up', failures: 0, history: { results: 1 } });
    });

    it('keeps a hanging, a throwing, a flapping and a slow contributor apart from a good one', async () => {
      const optional = { groups: { ready: 'optional' } } as const;
      const hanging = contributor('hanging', optional);
      const throwing = contributor('throwing', optional);
      const flapping = contributor('flapping', optional);
      const slow = contributor('slow', optional);
      const good = contributor('good');
      hanging.answer = hangs;
      throwing.answer = fails('no route');
      flapping.answer = () => (flapping.asked % 2 ? undefined : fails()());
      slow.answer = () => clock.sleep(1_500);
      for (const each of [hanging, throwing, flapping, slow, good]) health.register(each.contributor);
      await fixture.run();
      await clock.advance(5 * CYCLE_MS);

      const { status, entries } = health.snapshot('ready');
      expect(status).toBe('degraded');
      expect(entries).toEqual({
        hanging: { status: 'degraded', state: 'down', reason: expect.stringMatching(/hangs|answer/) },
        throwing: { status: 'degraded', state: 'down', reason: 'Error: no route' },
        flapping: { status: 'up' },
        slow: { status: 'degraded', state: 'down', reason: 'The check did not answer within 1000 ms.' },
        good: { status: 'up' },
      });
      expect(good.asked).toBeGreaterThanOrEqual(5);
    });

    it.each([
      ['null', null, 'null'],
      ['an array', [{ id: 1 }], 'an array'],
      ['a word', 'fine', 'type string'],
      ['a status nobody knows', { status: 'healthy' }, '"?healthy'],
      ['an object that throws', Object.defineProperty({}, 'status', { enumerable: true, get: fails('trap') }), 'trap'],
    ])('is down for %s instead of a report', async (_what, value, reason) => {
      const db = contributor('db');
      db.answer = () => value as never;
      health.register(db.contributor);
      await fixture.run();
      const entry = health.snapshot('ready').entries['db']!;
      expect(entry.status).toBe('down');
      expect(entry.reason).toMatch(new RegExp(reason));
    });

    it('counts a result that is too old as unknown, which is down where it is required', async () => {
      const stale = new HealthFixture({ staleAfterIntervals: 1 });
      stale.health.register(contributor('db', { everyMs: 3_600_000 }).contributor);
      stale.health.register(contributor('mail', { everyMs: 3_600_000, groups: { ready: 'optional' } }).contributor);
      await stale.run();
      stale.health.stop();
      await stale.clock.advance(3_602_000);
      expect(stale.health.snapshot('ready').entries).toMatchObject({
        db: { status: 'down', state: 'unknown', reason: expect.stringContaining('ms old') },
        mail: { status: 'degraded', state: 'unknown' },
      });
    });

    it('leaves no timer behind after stop, even while a check hangs', async () => {
      const db = contributor('db');
      db.answer = hangs;
      health.register(db.contributor);
      const started = health.start();
      await clock.advance(100);
      health.stop();
      await started;
      expect(clock.pendingTimers).toBe(0);
      await clock.advance(60_000);
      expect(db.asked).toBe(1);
    });
  });

  describe('a check begun by a request', () => {
    const request = { correlationId: 'operator-1', deadlineAt: 1 };
    let seen: unknown[];

    beforeEach(async () => {
      seen = [];
      await fixture.run();
    });

    function db(): HealthContributor {
      return { name: 'db', check: () => void seen.push(fixture.contexts.current()) };
    }

    it('has neither its deadline nor its id, and neither have those that follow', async () => {
      fixture.contexts.run(request, () => health.register(db()));
      await clock.advance(2 * CYCLE_MS);
      await fixture.contexts.run(request, () => health.checkNow('db'));
      expect(seen.length).toBeGreaterThan(2);
      expect(new Set(seen)).toEqual(new Set([undefined]));
    });

    it('has neither after the request changed the interval', async () => {
      health.register(db());
      await clock.advance(0);
      fixture.contexts.run(request, () => fixture.options.set(healthSchema.parse({ everyMs: 100 })));
      await clock.advance(500);
      expect(seen.length).toBeGreaterThan(4);
      expect(new Set(seen)).toEqual(new Set([undefined]));
    });
  });

  describe('passive signals', () => {
    it('shows an update at once and recovers with the next good check', async () => {
      const broker = contributor('broker');
      health.register(broker.contributor);
      await fixture.run();
      health.update('broker', { status: 'down', reason: 'connection lost' });
      expect(health.snapshot('ready')).toMatchObject({
        status: 'down',
        entries: { broker: { reason: 'connection lost' } },
      });
      await clock.advance(CYCLE_MS);
      expect(health.snapshot('ready').status).toBe('up');
    });

    it('ignores the result of a check that began before the update', async () => {
      const broker = contributor('broker');
      health.register(broker.contributor);
      await fixture.run();
      broker.answer = () => clock.sleep(500);
      const check = health.checkNow('broker');
      health.update('broker', { status: 'down', reason: 'connection lost' });
      await clock.advance(600);
      await check;
      expect(health.snapshot('ready').status).toBe('down');
    });

    it('refuses an update for a contributor that it does not know', () => {
      expect(() => health.update('brokre', { status: 'up' })).toThrow('no health contributor "brokre"');
    });
  });
});
