import { beforeEach, describe, expect, it } from 'vitest';
import { SystemClock } from '../core/clock.js';
import { EventLoopSampler } from '../core/event-loop.sampler.js';
import type { HealthContributor, HealthReport, HealthSourceEntry } from '../core/health.port.js';
import { SystemIds } from '../core/ids.js';
import { fixedOptions, SettableOptions } from '../core/live-options.js';
import { MeshEvents } from '../core/mesh.events.js';
import { metricsSchema } from '../metrics/metrics.options.js';
import { PrometheusMetrics } from '../metrics/prometheus.metrics.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { HealthAggregator } from './health.aggregator.js';
import { healthSchema, type HealthOptions } from './health.options.js';

const EVERY_MS = 10_000;
/** An interval with the most that jitter can add. */
const CYCLE_MS = EVERY_MS * 1.1 + 1;

/** A {@link HealthAggregator} on a virtual clock, and what it has told. */
class Fixture {
  readonly clock = new VirtualClock();
  readonly events = new MeshEvents();
  readonly metrics = new PrometheusMetrics(fixedOptions(metricsSchema.parse({ processMetrics: false })), this.events);
  readonly options: SettableOptions<HealthOptions>;
  readonly health: HealthAggregator;
  readonly log: string[] = [];

  constructor(options: unknown = {}) {
    this.options = new SettableOptions(healthSchema.parse(options));
    this.health = new HealthAggregator(this.options, {
      clock: this.clock,
      eventLoop: new EventLoopSampler(new SystemClock()),
      ids: new SystemIds(),
      events: this.events,
      metrics: this.metrics,
    });
    this.events.on('health.transition', ({ contributor: name, from, to }) => this.log.push(`${name}: ${from} > ${to}`));
  }

  /** Starts, lets every first check end, and enters the phase `ready`. */
  async run(): Promise<void> {
    const started = this.health.start();
    await this.clock.advance(1_100);
    await started;
    this.health.setPhase('ready');
    await this.clock.advance(0);
  }
}

/** A contributor that reports what `answer` returns, and counts how often it is asked. */
class Dependency {
  asked = 0;
  answer: () => HealthReport | void | Promise<HealthReport | void> = () => undefined;
  readonly contributor: HealthContributor;

  constructor(name: string, options: Partial<HealthContributor>) {
    this.contributor = {
      name,
      groups: { ready: 'required' },
      check: () => {
        this.asked++;
        return this.answer();
      },
      ...options,
    };
  }
}

function contributor(name: string, options: Partial<HealthContributor> = {}): Dependency {
  return new Dependency(name, options);
}

const fails =
  (message = 'gone') =>
  (): never => {
    throw new Error(message);
  };
const hangs = () => new Promise<void>(() => undefined);

describe('HealthAggregator', () => {
  let fixture: Fixture;
  let health: HealthAggregator;
  let clock: VirtualClock;

  beforeEach(() => {
    fixture = new Fixture();
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
      const stale = new Fixture({ staleAfterIntervals: 1 });
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

    it("takes the configuration's word for memberships above the code's", async () => {
      const own = new Fixture({ contributors: { db: { groups: { ready: 'optional' } } } });
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

    it('refuses a second contributor of the same name', () => {
      health.register({ name: 'db' });
      expect(() => health.register({ name: 'db' })).toThrow('registered twice');
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
  });

  describe('sources', () => {
    const open: HealthSourceEntry = { name: 'pay', status: 'degraded', statusWhenRequired: 'down', reason: 'open' };

    it('shows an open breaker as degraded and never takes readiness with it', async () => {
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
      const own = new Fixture({ contributors: { 'breaker:pay': { groups: { ready: 'required' } } } });
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

    it('exports what each group makes of a contributor, and forgets it with the contributor', async () => {
      const mail = contributor('mail', { groups: { ready: 'optional', deep: 'required' } });
      mail.answer = fails();
      const remove = health.register(mail.contributor);
      await fixture.run();
      const { body } = await fixture.metrics.expose();
      expect(body).toMatch(/mesh_component_health\{.*component="mail",group="ready".*\} 0\.5/);
      expect(body).toMatch(/mesh_component_health\{.*component="mail",group="deep".*\} 0\n/);
      expect(body).toMatch(/mesh_health_status\{group="ready"\} 0\.5/);
      expect(body).toMatch(/mesh_health_check_duration_seconds_count\{component="mail"\} [12]/);
      remove();
      expect((await fixture.metrics.expose()).body).toMatch(/component="mail",group="ready".*\} NaN/);
    });
  });
});
