import { afterEach, describe, expect, it } from 'vitest';
import { deferred, failing, ResilienceFixture } from '../../../../test/resilience/resilience.fixture.js';
import { pipeline } from './policy-builder.js';
import { resilienceSchema } from './resilience.options.js';

describe('CircuitBreakerManager', () => {
  let fixture: ResilienceFixture;
  afterEach(() => fixture?.close());

  const few = { minimumCalls: 2, openJitterRatio: 0 };
  const failTwice = async (name: string, key?: string) => {
    for (let i = 0; i < 2; i++)
      await fixture.manager
        .policy(name)
        .execute(failing, key === undefined ? {} : { key })
        .catch(() => undefined);
  };
  const valueOf = (name: string, path: string) =>
    fixture.manager.describePolicy(name).values.find((value) => value.path === path);

  describe('where values come from', () => {
    it('lets the exact name win over the declaration, that over the pattern, that over the defaults', () => {
      fixture = new ResilienceFixture({
        defaults: { timeoutMs: 1_000, circuitBreaker: { minimumCalls: 11, openMs: 1_100, halfOpenCalls: 1 } },
        policies: {
          'pay.*': { circuitBreaker: { openMs: 2_200, halfOpenCalls: 2 } },
          'pay.ch*': { circuitBreaker: { halfOpenCalls: 3, failureRatio: 0.3 } },
          'pay.charge': { circuitBreaker: { failureRatio: 0.5 } },
        },
      });
      fixture.manager.declare('pay.charge', { circuitBreaker: { failureRatio: 0.4, slowCallMs: 40 } }, 'Pay.charge');
      expect(valueOf('pay.charge', 'timeoutMs')).toMatchObject({ value: 1_000, source: 'defaults' });
      expect(valueOf('pay.charge', 'circuitBreaker.openMs')).toMatchObject({ value: 1_100, source: 'defaults' });
      expect(valueOf('pay.charge', 'circuitBreaker.halfOpenCalls')).toMatchObject({ source: 'pattern "pay.ch*"' });
      expect(valueOf('pay.charge', 'circuitBreaker.slowCallMs')).toMatchObject({ source: 'declared by Pay.charge' });
      expect(valueOf('pay.charge', 'circuitBreaker.failureRatio')).toEqual({
        path: 'circuitBreaker.failureRatio',
        value: 0.5,
        source: 'policies["pay.charge"]',
      });
      expect(valueOf('pay.charge', 'circuitBreaker.windowMs')).toMatchObject({ source: 'default' });
    });

    it('puts a group below the policy that extends it', () => {
      fixture = new ResilienceFixture({
        groups: { base: { timeoutMs: 1, retry: false }, slow: { extends: 'base', timeoutMs: 2 } },
        policies: { p: { extends: 'slow', circuitBreaker: false } },
      });
      expect(valueOf('p', 'timeoutMs')).toMatchObject({ value: 2, source: 'group "slow"' });
      expect(valueOf('p', 'retry')).toMatchObject({ value: false, source: 'group "base"' });
    });

    it('keeps the fields of a protection that one layer switches off and a later one on', () => {
      fixture = new ResilienceFixture({
        defaults: { bulkhead: { maxConcurrent: 7 } },
        policies: { 'p*': { bulkhead: false }, pq: { bulkhead: {} } },
      });
      expect(valueOf('pq', 'bulkhead.maxConcurrent')).toMatchObject({ value: 7, source: 'defaults' });
      expect(valueOf('px', 'bulkhead')).toMatchObject({ value: false, source: 'pattern "p*"' });
    });

    it('adds only what a single decorator names, and lets configuration add more', () => {
      fixture = new ResilienceFixture({ policies: { q: { timeoutMs: 5 } } });
      const { manager } = fixture;
      for (const name of ['p', 'q']) manager.declare(name, { onlyNamed: true, circuitBreaker: {} }, `Service.${name}`);
      expect(manager.describePolicy('p').order).toBe('circuit breaker 50 % -> function');
      expect(manager.describePolicy('q').order).toBe('circuit breaker 50 % -> attempt timeout 5 ms -> function');
    });

    it('prints the one fixed order', () => {
      const everything = { retry: {}, rateLimit: {}, bulkhead: {}, circuitBreaker: {} };
      fixture = new ResilienceFixture({ policies: { p: everything, h: { hedge: {} } } });
      expect(fixture.manager.describePolicy('p').order).toBe(
        'total timeout 30000 ms -> retry 2x -> rate limit 100 per 1000 ms -> bulkhead 100 + 0 queued -> circuit breaker 50 % -> attempt timeout 10000 ms -> function',
      );
      expect(fixture.manager.describePolicy('h').order).toContain('-> hedge 1x after p95 ->');
    });
  });

  describe('what it refuses', () => {
    it('names the nearest policy when nothing matches', () => {
      fixture = new ResilienceFixture({ policies: { 'payments.charge': {} } });
      expect(() => fixture.manager.policy('payment.charge')).toThrow('did you mean "payments.charge"?');
      expect(() => fixture.manager.describePolicy('payment.charge')).toThrow('neither configured');
      expect(fixture.manager.find('payment.charge')).toBeUndefined();
    });

    it('takes the same declaration twice, another one not', () => {
      fixture = new ResilienceFixture();
      const { manager } = fixture;
      const first = manager.declare('p', { circuitBreaker: { openMs: 1 } }, 'A.run');
      expect(manager.declare('p', { circuitBreaker: { openMs: 1 } }, 'B.run')).toBe(first);
      expect(() => manager.declare('p', { circuitBreaker: { openMs: 2 } }, 'B.run')).toThrow(
        'declared by A.run and, with other values, by B.run',
      );
    });

    it.each([
      [{ timeoutMs: 2_000, totalTimeoutMs: 1_000 }, 'timeoutMs 2000'],
      [{ circuitBreaker: { windowCalls: 10, minimumCalls: 20 } }, 'could never open'],
      [{ circuitBreaker: { windowCalls: 10, windowMs: 1_000, minimumCalls: 5 } }, 'both windowMs and windowCalls'],
      [{ circuitBreaker: { openMs: 120_000 } }, 'raise maxOpenMs too'],
      [{ timeoutMs: 100, circuitBreaker: { slowCallMs: 200 } }, 'time out before it is slow'],
      [{ bulkhead: { maxWaitMs: 10 } }, 'needs a queue'],
      [{ hedge: {}, retry: {} }, 'keep one'],
      [{ extends: 'p' }, 'extends itself'],
    ])('refuses %j at boot', (policy, message) => {
      const { error } = resilienceSchema.safeParse({ policies: { p: policy } });
      expect(error?.issues[0]).toMatchObject({ path: ['policies', 'p'], message: expect.stringContaining(message) });
      fixture = new ResilienceFixture();
    });

    it('lets configuration extend what code declares, and says at the end of the boot what nobody declared', () => {
      fixture = new ResilienceFixture({ policies: { p: { extends: 'declared' }, q: { extends: 'declraed' } } });
      const { manager } = fixture;
      manager.declare('declared', { timeoutMs: 7 }, 'A.run');
      expect(valueOf('p', 'timeoutMs')).toMatchObject({ value: 7, source: 'declared by A.run' });
      expect(() => manager.verify()).toThrow('neither a group nor a policy; did you mean "declared"?');
    });

    it('says of options that are not in force yet which declared policy could not work with them', () => {
      fixture = new ResilienceFixture();
      const { manager } = fixture;
      manager.declare('p', { timeoutMs: 1_000 }, 'A.run');
      const next = resilienceSchema.parse({ defaults: { totalTimeoutMs: 500 } });
      expect(() => manager.verify(next)).toThrow(
        /Policy "p" can't work: timeoutMs 1000 .* is above totalTimeoutMs 500/,
      );
      expect(() => manager.verify()).not.toThrow();
    });

    it('refuses a hedge of what is declared not idempotent', () => {
      fixture = new ResilienceFixture();
      expect(() => fixture.manager.declare('p', { hedge: {}, idempotent: false }, 'A.run')).toThrow(
        'runs a function twice',
      );
    });

    describe('of a retry that the policy asks for itself', () => {
      const asksForRetry = { policies: { p: { retry: { maxRetries: 5 } } } };
      const once = { origin: 'A.charge', idempotent: false };

      it('refuses it when all methods of the policy are declared not idempotent', () => {
        fixture = new ResilienceFixture(asksForRetry);
        fixture.manager.noteUse('p', once);
        expect(() => fixture.manager.verify()).toThrow(
          'retry (policies["p"]) repeats a function that A.charge declares not idempotent',
        );
      });

      it('lets it be when another method of the policy may be repeated', () => {
        fixture = new ResilienceFixture(asksForRetry);
        fixture.manager.noteUse('p', once);
        fixture.manager.noteUse('p', { origin: 'A.read', idempotent: true });
        expect(() => fixture.manager.verify()).not.toThrow();
      });

      it('lets it be when the method says nothing: then only calls that were never sent are repeated', () => {
        fixture = new ResilienceFixture(asksForRetry);
        fixture.manager.noteUse('p', { origin: 'A.charge', idempotent: undefined });
        expect(() => fixture.manager.verify()).not.toThrow();
      });

      it('says nothing of a retry that the defaults or a pattern give to many policies', () => {
        fixture = new ResilienceFixture({ defaults: { retry: {} }, policies: { '*': { retry: {} } } });
        fixture.manager.noteUse('p', once);
        expect(() => fixture.manager.policy('p')).not.toThrow();
        expect(() => fixture.manager.declare('p', { timeoutMs: 5, idempotent: false }, 'A.charge')).not.toThrow();
      });

      it('refuses options that are not in force yet', () => {
        fixture = new ResilienceFixture();
        fixture.manager.declare('p', { timeoutMs: 5, idempotent: false }, 'A.charge');
        expect(() => fixture.manager.verify(resilienceSchema.parse(asksForRetry))).toThrow('declares not idempotent');
      });
    });
  });

  describe('a change of options', () => {
    const policies = (circuitBreaker: object) => ({ policies: { p: { retry: false as const, circuitBreaker } } });

    it('takes new thresholds over and keeps what the window has seen', async () => {
      fixture = new ResilienceFixture(policies({ ...few, minimumCalls: 10 }));
      await failTwice('p');
      fixture.reload(policies({ ...few, minimumCalls: 3 }));
      expect(fixture.manager.breaker('p').state).toBe('closed');
      await failTwice('p');
      expect(fixture.manager.breaker('p').state).toBe('open');
      expect(fixture.eventsOf('policy.changed')).toEqual([
        { policy: 'p', changes: [{ path: 'circuitBreaker.minimumCalls', from: 10, to: 3 }] },
      ]);
    });

    it('carries the totals over into a window of another shape', async () => {
      fixture = new ResilienceFixture(policies({ ...few, minimumCalls: 10 }));
      await failTwice('p');
      await fixture.manager.policy('p').execute(async () => 1);
      fixture.reload(policies({ ...few, minimumCalls: 10, windowCalls: 50 }));
      expect(fixture.manager.list()[0]).toMatchObject({ calls: 3, failures: 2 });
    });

    it('lets running calls finish with the limits that they began with', async () => {
      fixture = new ResilienceFixture({ policies: { p: { timeoutMs: 100, retry: false } } });
      const gate = deferred<string>();
      const call = fixture.manager.policy('p').execute(() => gate.promise);
      fixture.reload({ policies: { p: { timeoutMs: 10, retry: false } } });
      await fixture.clock.advance(50);
      gate.resolve('in time');
      await expect(call).resolves.toBe('in time');
    });

    it('leaves a policy alone that nobody configures any more', async () => {
      fixture = new ResilienceFixture(policies(few));
      const policy = fixture.manager.policy('p');
      await failTwice('p');
      fixture.reload({});
      await expect(policy.execute(async () => 1)).rejects.toMatchObject({ code: 'MESH_CIRCUIT_OPEN' });
    });

    it('keeps the old options when the new ones contradict the declaration', async () => {
      fixture = new ResilienceFixture();
      fixture.manager.declare('p', { timeoutMs: 1_000 }, 'A.run');
      fixture.reload({ defaults: { totalTimeoutMs: 500 } });
      expect(fixture.eventsOf('policy.rejected')).toMatchObject([
        { policy: 'p', error: { code: 'MESH_CONFIG_INVALID' } },
      ]);
    });
  });

  describe('keyed breakers', () => {
    const keyed = { retry: false as const, circuitBreaker: { ...few, maxKeys: 3, keyIdleMs: 1_000 } };

    it('opens for one key only', async () => {
      fixture = new ResilienceFixture({ policies: { p: keyed } });
      await failTwice('p', 'a');
      const policy = fixture.manager.policy('p');
      await expect(policy.execute(async () => 1, { key: 'a' })).rejects.toThrow('Circuit "p" of key "a" is open');
      await expect(policy.execute(async () => 1, { key: 'b' })).resolves.toBe(1);
    });

    it('keeps the most recently used up to the cap, and what an operator holds', async () => {
      fixture = new ResilienceFixture({ policies: { p: keyed } });
      const { manager } = fixture;
      manager.breaker('p', 'held').isolate({ reason: 'test' });
      for (const key of ['a', 'b', 'a', 'c']) await manager.policy('p').execute(async () => 1, { key });
      expect(manager.list().map(({ key }) => key)).toEqual(['held', 'a', 'c']);
    });

    it('forgets what was idle', async () => {
      fixture = new ResilienceFixture({ policies: { p: keyed } });
      const use = (key: string) => fixture.manager.policy('p').execute(async () => 1, { key });
      await use('a');
      await fixture.clock.advance(1_000);
      await use('b');
      expect(fixture.manager.list().map(({ key }) => key)).toEqual(['b']);
    });

    it('never puts a key into a metric', async () => {
      fixture = new ResilienceFixture({ policies: { p: keyed } });
      await failTwice('p', 'tenant-42');
      fixture.metrics.collect();
      expect([...fixture.metrics.series.keys()].join()).not.toContain('tenant-42');
      expect(fixture.metrics.value('mesh_breaker_state', { policy: 'p', state: 'open' })).toBe(1);
    });
  });

  it('tells metrics how many calls are in flight', async () => {
    fixture = new ResilienceFixture({ policies: { p: {} } });
    const inFlight = (): number => {
      fixture.metrics.collect();
      return fixture.metrics.value('mesh_calls_in_flight', {});
    };
    const { promise, resolve } = Promise.withResolvers<void>();
    const calls = [1, 2].map(() => fixture.manager.policy('p').execute(() => promise));
    expect(inFlight()).toBe(2);
    resolve();
    await Promise.all(calls);
    expect(inFlight()).toBe(0);
  });

  describe('for operators', () => {
    it('isolates for a time, by reason, until disposed or released', async () => {
      fixture = new ResilienceFixture({ policies: { p: { circuitBreaker: few } } });
      const { manager, clock } = fixture;
      const breaker = manager.breaker('p');
      const first = breaker.isolate({ reason: 'one' });
      breaker.isolate({ reason: 'two', ttlMs: 500 });
      first[Symbol.dispose]();
      expect(breaker.snapshot()).toMatchObject({
        state: 'isolated',
        held: { reason: 'two', until: clock.now() + 500 },
      });
      await expect(manager.policy('p').execute(async () => 1)).rejects.toMatchObject({
        code: 'MESH_CIRCUIT_ISOLATED',
        retryAfterMs: 500,
      });
      await clock.advance(500);
      expect(breaker.state).toBe('closed');
    });

    it('lets calls pass and still counts them while disabled', async () => {
      fixture = new ResilienceFixture({ policies: { p: { retry: false, circuitBreaker: few } } });
      const breaker = fixture.manager.breaker('p');
      breaker.disable({ reason: 'test' });
      await failTwice('p');
      await failTwice('p');
      expect(breaker.snapshot()).toMatchObject({ state: 'disabled', calls: 4, failures: 4 });
      breaker.release();
      expect(breaker.snapshot()).toMatchObject({ state: 'closed', calls: 0 });
    });

    it('says until when in whole milliseconds, and never too early', async () => {
      fixture = new ResilienceFixture({ policies: { p: { circuitBreaker: { ...few, openMs: 1_000 } } } });
      const breaker = fixture.manager.breaker('p');
      await fixture.clock.advance(0.4);
      const now = fixture.clock.now();
      breaker.isolate({ reason: 'test', ttlMs: 500 });
      expect(breaker.snapshot().held?.until).toBe(Math.ceil(now + 500));
      breaker.trip('test');
      expect(breaker.snapshot().openUntil).toBe(Math.ceil(now + 1_000));
    });

    it('trips open for its open time, whoever held it', async () => {
      fixture = new ResilienceFixture({ policies: { p: { circuitBreaker: { ...few, openMs: 1_000 } } } });
      const breaker = fixture.manager.breaker('p');
      breaker.disable({ reason: 'test' });
      breaker.trip('game day');
      expect(fixture.eventsOf('breaker.transition').at(-1)).toMatchObject({ to: 'open', reason: 'game day' });
      await expect(fixture.manager.policy('p').execute(async () => 1)).rejects.toMatchObject({
        code: 'MESH_CIRCUIT_OPEN',
        retryAfterMs: 1_000,
      });
      expect(breaker.snapshot()).not.toHaveProperty('held');
      await fixture.clock.advance(1_000);
      expect(breaker.state).toBe('half-open');
    });

    it('opens for longer each time, and for the first time again after a window of health', async () => {
      const circuitBreaker = {
        ...few,
        minimumCalls: 1,
        openMs: 1_000,
        maxOpenMs: 3_000,
        halfOpenCalls: 1,
        windowMs: 5_000,
      };
      fixture = new ResilienceFixture({ policies: { p: { retry: false, circuitBreaker } } });
      const { manager, clock } = fixture;
      const openMs = async () => {
        await manager
          .policy('p')
          .execute(failing)
          .catch(() => undefined);
        const ms = fixture.eventsOf('breaker.transition').at(-1)!.openMs!;
        await clock.advance(ms);
        return ms;
      };
      expect([await openMs(), await openMs(), await openMs()]).toEqual([1_000, 2_000, 3_000]);
      await manager.policy('p').execute(async () => 1);
      await clock.advance(5_000);
      expect(await openMs()).toBe(1_000);
    });

    it('remembers the last hundred events of a policy', async () => {
      fixture = new ResilienceFixture({ policies: { p: { circuitBreaker: few } } });
      for (let i = 0; i < 60; i++) {
        const hold = fixture.manager.breaker('p').isolate({ reason: `${i}` });
        hold[Symbol.dispose]();
      }
      const { events } = fixture.manager.describePolicy('p');
      expect(events).toHaveLength(100);
      expect(events.at(-2)).toMatchObject({ name: 'breaker.transition', event: { to: 'isolated', reason: '59' } });
    });

    it('tells of refused calls once a second, with their number', async () => {
      fixture = new ResilienceFixture({ policies: { p: { circuitBreaker: few } } });
      fixture.manager.breaker('p').isolate({ reason: 'test' });
      const refused = () => expect(fixture.manager.policy('p').execute(async () => 1)).rejects.toThrow();
      for (let i = 0; i < 10; i++) await refused();
      await fixture.clock.advance(1_000);
      await refused();
      expect(fixture.eventsOf('call.rejected').map(({ count }) => count)).toEqual([1, 9]);
      fixture.manager.dispose();
      expect(fixture.eventsOf('call.rejected').map(({ count }) => count)).toEqual([1, 9, 1]);
      expect(fixture.metrics.value('mesh_calls_total', { policy: 'p', outcome: 'isolated' })).toBe(11);
    });
  });

  it('counts slow calls and looks at the last calls instead of a time, when asked to', async () => {
    const circuitBreaker = { ...few, windowCalls: 4, slowCallMs: 50, slowCallRatio: 0.5 };
    fixture = new ResilienceFixture({ policies: { p: { retry: false, circuitBreaker } } });
    const call = async (ms: number) => {
      const result = fixture.manager.policy('p').execute(() => fixture.clock.sleep(ms));
      await fixture.clock.advance(ms);
      await result;
    };
    for (const ms of [10, 10, 10, 60]) await call(ms);
    expect(fixture.manager.breaker('p').state).toBe('closed');
    await call(60);
    expect(fixture.manager.breaker('p').state).toBe('open');
    expect(fixture.eventsOf('breaker.transition')[0]?.reason).toBe('2 of 4 calls took longer than 50 ms');
  });

  it('builds a policy without an application', async () => {
    fixture = new ResilienceFixture();
    const { clock } = fixture;
    const policy = pipeline('script').timeout(100).retry({ jitter: 'none' }).idempotent().build({ clock });
    let calls = 0;
    const call = policy.execute(async () => {
      if (calls++ === 0) throw new Error('once');
      return 'ok';
    });
    await clock.advance(100);
    await expect(call).resolves.toBe('ok');
    expect(() => pipeline().timeout(10).totalTimeout(5).build()).toThrow('above');
    policy.engine.queue.stopTimer();
  });

  it('announces in which order each policy of its own name works, once, whatever made it known', () => {
    fixture = new ResilienceFixture({ policies: { 'http:*': {}, a: { retry: false, totalTimeoutMs: false } } });
    fixture.manager.declare('b', { onlyNamed: true, timeoutMs: 5 }, 'Service.b');
    fixture.manager.announce();
    expect(fixture.eventsOf('policy.resolved')).toEqual([
      { policy: 'a', order: 'circuit breaker 50 % -> attempt timeout 10000 ms -> function' },
      { policy: 'b', order: 'attempt timeout 5 ms -> function', origin: 'Service.b' },
    ]);
  });

  describe('health', () => {
    const healthOf = () => fixture.manager.readHealth().map(({ details: _details, ...entry }) => entry);

    it('says nothing of closed breakers', async () => {
      fixture = new ResilienceFixture({ policies: { p: {} } });
      await fixture.manager.policy('p').execute(async () => 1);
      expect(healthOf()).toEqual([]);
    });

    it('is degraded, in no group of its own, by what refuses calls, and down for who cannot do without', async () => {
      fixture = new ResilienceFixture({ policies: { p: { retry: false, circuitBreaker: few } } });
      await failTwice('p', 'eu');
      fixture.manager.breaker('p').isolate({ reason: 'maintenance' });
      expect(healthOf()).toEqual([
        {
          name: 'p',
          status: 'degraded',
          groups: {},
          statusWhenRequired: 'down',
          reason: 'circuit breaker is isolated: maintenance (operator)',
        },
        {
          name: 'p[eu]',
          status: 'degraded',
          groups: {},
          statusWhenRequired: 'down',
          reason: 'circuit breaker is open',
        },
      ]);
    });

    it('is degraded for everybody while probes or an operator let calls pass', async () => {
      fixture = new ResilienceFixture({ policies: { p: { retry: false, circuitBreaker: few } } });
      await failTwice('p', 'eu');
      fixture.manager.breaker('p').disable({ reason: 'test' });
      await fixture.clock.advance(60_000);
      expect(healthOf()).toEqual([
        { name: 'p', status: 'degraded', groups: {}, reason: 'circuit breaker is disabled: test (operator)' },
        { name: 'p[eu]', status: 'degraded', groups: {}, reason: 'circuit breaker is half-open' },
      ]);
    });

    it('gives a reason that stays the same while nothing changes', async () => {
      fixture = new ResilienceFixture({
        policies: { p: { retry: false, circuitBreaker: { ...few, windowMs: 1_000 } } },
      });
      await failTwice('p');
      const before = healthOf();
      await fixture.clock.advance(2_000);
      expect(healthOf()).toEqual(before);
    });
  });
});
