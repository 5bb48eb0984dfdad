import { beforeEach, describe, expect, it } from 'vitest';
import type { VirtualClock } from '../testing/virtual-clock.js';
import type { HealthAggregator } from './health.aggregator.js';
import { contributor, CYCLE_MS, EVERY_MS, fails, HealthFixture } from '../../../../test/e2e/health/health.fixture.js';
import { healthSchema } from './health.options.js';

describe('HealthAggregator', () => {
  let fixture: HealthFixture;
  let health: HealthAggregator;
  let clock: VirtualClock;

  beforeEach(() => {
    fixture = new HealthFixture();
    ({ health, clock } = fixture);
  });

  describe('groups', () => {
    it('lets something optional degrade a group but never take it down', async () => {
      const mail = contributor('mail', { groups: { ready: 'optional', reporting: 'required' } });
      mail.answer = fails();
      health.register(mail.contributor);
      await fixture.run();
      expect(health.snapshot('ready').status).toBe('degraded');
      expect(health.snapshot('reporting').status).toBe('down');
      expect(health.snapshot('live')).toMatchObject({ status: 'up', entries: {} });
      expect(health.groups()).toEqual(['live', 'ready', 'startup', 'reporting']);
    });

    it("does not take a detail of a contributor's own for its state", async () => {
      const db = contributor('db');
      db.answer = () => ({ status: 'up', details: { state: 'replica', lagMs: 3, status: 'down' } });
      health.register(db.contributor);
      await fixture.run();
      expect(health.snapshot('ready').entries['db']).toEqual({ status: 'up', lagMs: 3 });
    });

    it("takes the configuration's word for memberships above the code's", async () => {
      const own = new HealthFixture({ contributors: { db: { groups: { ready: 'optional' } } } });
      const db = contributor('db');
      db.answer = fails();
      own.health.register(db.contributor);
      await own.run();
      expect(own.health.snapshot('ready').status).toBe('degraded');
    });

    it('follows a change of the configuration at once, and keeps no timer after it was stopped', async () => {
      const db = contributor('db');
      health.register(db.contributor);
      await fixture.run();
      health.update('db', { status: 'down' });
      fixture.options.set(
        healthSchema.parse({ everyMs: 100, contributors: { db: { groups: { ready: 'optional' } } } }),
      );
      expect(health.snapshot('ready').status).toBe('degraded');
      await clock.advance(1_000);
      expect(db.asked).toBeGreaterThan(8);
      health.stop();
      fixture.options.set(healthSchema.parse({ everyMs: 200 }));
      expect(clock.pendingTimers).toBe(0);
      expect(fixture.events.listenerCount()).toBe(1);
    });

    it('is down for a group that nothing counts in', () => {
      expect(health.snapshot('constructor').status).toBe('down');
      expect(health.snapshot('raedy')).toMatchObject({
        status: 'down',
        entries: { application: { reason: 'Nothing counts in the health group "raedy".' } },
      });
    });

    it('counts a contributor that joins a ready service from its first result on', async () => {
      await fixture.run();
      const late = contributor('late');
      late.answer = async () => {
        await clock.sleep(500);
        throw new Error('gone');
      };
      health.register(late.contributor);
      expect(health.snapshot('ready').status).toBe('up');
      await clock.advance(500);
      expect(health.snapshot('ready').status).toBe('down');
    });

    it('forgets a contributor that is removed', async () => {
      const db = contributor('db');
      db.answer = fails();
      const remove = health.register(db.contributor);
      await fixture.run();
      const { asked } = db;
      remove();
      expect(health.snapshot('ready')).toMatchObject({ status: 'up', entries: {} });
      await clock.advance(3 * CYCLE_MS);
      expect(db.asked).toBe(asked);
      health.register(db.contributor);
    });

    it.each(['', 'with space', '__proto__', 'application', 'x'.repeat(129)])('refuses the name %j', (name) => {
      expect(() => health.register({ name })).toThrow('cannot be a health contributor');
    });

    it.each([
      [{ everyMs: 0 }, 'everyMs'],
      [{ timeoutMs: Number.NaN }, 'timeoutMs'],
      [{ weight: -1 }, 'weight'],
      [{ groups: { ready: 'critical' as never } }, 'groups.ready'],
    ])('refuses the settings %j', (settings, path) => {
      expect(() => health.register({ name: 'db', ...settings })).toThrow(`"db" has bad settings: ${path}`);
    });

    it('refuses a second contributor of the same name, and says who has it', () => {
      health.register({ name: 'db' });
      expect(() => health.register({ name: 'db' }, 'Ledger.ping')).toThrow(
        '"db" is registered twice, by a call of register() and by Ledger.ping',
      );
    });
  });

  describe('the application itself', () => {
    it('is not ready before the phase ready and from the first moment of draining', async () => {
      await health.start();
      expect(health.snapshot('ready')).toMatchObject({
        status: 'down',
        entries: { application: { reason: 'The application is starting.' } },
      });
      health.setPhase('ready');
      expect(health.snapshot('ready').status).toBe('up');
      health.setPhase('draining');
      expect(health.snapshot('ready')).toMatchObject({ status: 'down', draining: true });
      expect(health.snapshot('live')).toMatchObject({ status: 'up', draining: false });
      expect(health.snapshot('startup').status).toBe('up');
    });

    it('does not call down what fails during the start, and asks it again as soon as that is over', async () => {
      const db = contributor('db');
      db.answer = fails();
      health.register(db.contributor);
      const started = health.start();
      await clock.advance(0);
      await started;
      expect(health.snapshot('ready').entries['db']).toMatchObject({ status: 'down', state: 'unknown' });
      db.answer = () => undefined;
      health.setPhase('ready');
      await clock.advance(0);
      expect(health.snapshot('ready').status).toBe('up');
      expect(fixture.log).toEqual(['db: unknown > up']);
      await clock.advance(8_000);
      expect(db.asked).toBe(2);
      health.stop();
      expect(clock.pendingTimers).toBe(0);
    });

    it('has started once everything required was up, and for good', async () => {
      const db = contributor('db', { groups: { startup: 'required' } });
      db.answer = fails();
      health.register(db.contributor);
      await fixture.run();
      expect(health.snapshot('startup').status).toBe('down');
      db.answer = () => undefined;
      await clock.advance(CYCLE_MS);
      expect(health.snapshot('startup').status).toBe('up');
      health.update('db', { status: 'down' });
      expect(health.snapshot('startup').status).toBe('degraded');
    });

    it('may take itself out of rotation', async () => {
      await fixture.run();
      health.setUnready('reindexing, password=hunter2');
      expect(health.snapshot('ready')).toMatchObject({
        status: 'down',
        entries: { application: { reason: 'reindexing, password=***' } },
      });
      expect(health.snapshot('live').status).toBe('up');
      health.setReady();
      expect(health.snapshot('ready').status).toBe('up');
    });

    it('is no longer live once the application says that only a restart helps', async () => {
      await fixture.run();
      health.setBroken('the native pool is gone');
      expect(health.snapshot('live').status).toBe('down');
    });

    it('tells when the answer of a built-in group changes, and why', async () => {
      const told: unknown[] = [];
      fixture.events.on('health.group', (event) => told.push(event));
      health.register(contributor('db').contributor);
      await fixture.run();
      health.update('db', { status: 'down', reason: 'gone' });
      expect(told).toEqual([
        { group: 'ready', from: 'down', to: 'up' },
        { group: 'startup', from: 'down', to: 'up' },
        { group: 'ready', from: 'up', to: 'down', reason: 'db: gone' },
      ]);
    });

    it('tells a readiness that ends with the application from one that a part took down', async () => {
      const told: unknown[] = [];
      await fixture.run();
      fixture.events.on('health.group', (event) => told.push(event));
      health.setPhase('draining');
      expect(told).toEqual([
        {
          group: 'ready',
          from: 'up',
          to: 'down',
          reason: 'application: The application is shutting down.',
          draining: true,
        },
      ]);
    });
  });

  describe('for people', () => {
    it('weighs the states to a score', async () => {
      const [db, mail] = [contributor('db', { weight: 3 }), contributor('mail', { groups: { ready: 'optional' } })];
      mail.answer = fails();
      health.register(db.contributor);
      health.register(mail.contributor);
      await fixture.run();
      expect(health.overview()).toMatchObject({ score: 75, groups: { live: 'up', ready: 'degraded', startup: 'up' } });
    });

    it('keeps sixty results with availability, latency, trend and the cause of each transition', async () => {
      const db = contributor('db');
      db.answer = () => clock.sleep(20);
      health.register(db.contributor);
      await fixture.run();
      await clock.advance(60 * CYCLE_MS);
      db.answer = fails();
      await clock.advance(15 * EVERY_MS);
      const { history } = health.overview().components[0]!;
      expect(history).toMatchObject({ results: 60, p95Ms: 20, trend: 'worsening' });
      expect(history!.availability).toBeGreaterThan(0.7);
      expect(history!.availability).toBeLessThan(0.8);
      expect(history!.transitions.at(-1)).toMatchObject({ from: 'up', to: 'down', cause: 'Error: gone' });
    });

    it('exports that an optional contributor is down, beside what its group makes of it, until it is removed', async () => {
      const mail = contributor('mail', { groups: { ready: 'optional', deep: 'required' } });
      mail.answer = fails();
      const remove = health.register(mail.contributor);
      await fixture.run();
      const { body } = await fixture.metrics.expose();
      expect(body).toMatch(/mesh_component_health\{.*component="mail",group="ready".*\} 0\n/);
      expect(body).toMatch(/mesh_component_health\{.*component="mail",group="deep".*\} 0\n/);
      expect(body).toMatch(/mesh_health_status\{group="ready"\} 0\.5/);
      expect(body).toMatch(/mesh_health_check_duration_seconds_count\{component="mail"\} [12]/);
      remove();
      expect((await fixture.metrics.expose()).body).toMatch(/component="mail",group="ready".*\} NaN/);
    });
  });
});
