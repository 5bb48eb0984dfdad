import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ResilienceFixture } from '../../../../../test/resilience/resilience.fixture.js';
import type { PolicyOptions } from '../resilience.options.js';
import { resilienceSchema } from '../resilience.options.js';

const bare = { retry: false, circuitBreaker: false, totalTimeoutMs: false, timeoutMs: false } as const;

describe('fault injection', () => {
  let fixture: ResilienceFixture;
  afterEach(async () => {
    await fixture?.close();
    vi.unstubAllEnvs();
  });

  const policyWith = (options: PolicyOptions) => {
    fixture = new ResilienceFixture({ policies: { p: { ...bare, ...options } } });
    return fixture.manager.policy('p');
  };
  const work = vi.fn(async () => 'answer');
  beforeEach(() => void work.mockClear());

  describe('the stage', () => {
    it('fails the share of attempts that the dice choose, without running the function', async () => {
      const policy = policyWith({ fault: { errorRatio: 0.3, ttlMs: 1_000 } });
      fixture.ids.fraction = 0.29;
      await expect(policy.execute(work)).rejects.toMatchObject({ code: 'MESH_FAULT_INJECTED', retryable: true });
      expect(work).not.toHaveBeenCalled();
      fixture.ids.fraction = 0.31;
      await expect(policy.execute(work)).resolves.toBe('answer');
    });

    it('delays the function', async () => {
      const policy = policyWith({ fault: { delayMs: 200, ttlMs: 1_000 } });
      const call = policy.execute(work);
      await fixture.clock.advance(199);
      expect(work).not.toHaveBeenCalled();
      await fixture.clock.advance(1);
      await expect(call).resolves.toBe('answer');
    });

    it('stands inside the timeout: a delayed attempt times out, and its function never runs', async () => {
      const policy = policyWith({ timeoutMs: 100, fault: { delayMs: 200, ttlMs: 1_000 } });
      const call = expect(policy.execute(work)).rejects.toMatchObject({ code: 'MESH_ATTEMPT_TIMEOUT' });
      await fixture.clock.advance(500);
      await call;
      expect(work).not.toHaveBeenCalled();
    });

    it('stands inside the breaker: injected failures open it', async () => {
      const policy = policyWith({ circuitBreaker: { minimumCalls: 2 }, fault: { errorRatio: 1, ttlMs: 1_000 } });
      for (let i = 0; i < 2; i++) await policy.execute(work).catch(() => undefined);
      expect(fixture.manager.breaker('p').state).toBe('open');
    });

    it('stands inside the retry: each attempt is a throw of the dice', async () => {
      const policy = policyWith({ retry: { maxRetries: 2 }, fault: { errorRatio: 1, ttlMs: 60_000 } });
      const call = expect(policy.execute(work, { idempotent: true })).rejects.toThrow('injected into policy "p"');
      await fixture.clock.advance(10_000);
      await call;
      expect(fixture.eventsOf('call.fault').map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    });

    it('hangs until the attempt is given up, and gives its slot back then', async () => {
      const policy = policyWith({
        timeoutMs: 100,
        bulkhead: { maxConcurrent: 1 },
        fault: { hangRatio: 1, ttlMs: 60_000 },
      });
      const call = expect(policy.execute(work)).rejects.toMatchObject({ code: 'MESH_ATTEMPT_TIMEOUT' });
      await fixture.clock.advance(100);
      await call;
      expect(policy.bulkhead?.running).toBe(0);
    });

    it('counts and tells what it injected', async () => {
      const policy = policyWith({ fault: { errorRatio: 1, delayMs: 10, ttlMs: 1_000 } });
      const call = policy.execute(work).catch(() => undefined);
      await fixture.clock.advance(10);
      await call;
      expect(fixture.metrics.value('mesh_faults_injected_total', { policy: 'p', kind: 'delay' })).toBe(1);
      expect(fixture.metrics.value('mesh_faults_injected_total', { policy: 'p', kind: 'error' })).toBe(1);
      expect(fixture.eventsOf('call.fault').map(({ kind }) => kind)).toEqual(['delay', 'error']);
    });
  });

  describe('its end', () => {
    it('comes ttlMs after the configuration came into force, not after the first call', async () => {
      fixture = new ResilienceFixture({ policies: { 'p*': { ...bare, fault: { errorRatio: 1, ttlMs: 1_000 } } } });
      await fixture.clock.advance(900);
      const policy = fixture.manager.policy('p1');
      await expect(policy.execute(work)).rejects.toThrow('injected');
      await fixture.clock.advance(100);
      await expect(policy.execute(work)).resolves.toBe('answer');
      expect(policy.faults).toBeUndefined();
      expect(fixture.eventsOf('policy.fault').map(({ state }) => state)).toEqual(['on', 'off']);
    });

    it('is not put off by an update of something else, and is by one of the fault', async () => {
      const fault = { errorRatio: 1, ttlMs: 1_000 };
      const policy = policyWith({ fault });
      await fixture.clock.advance(600);
      fixture.reload({ policies: { p: { ...bare, timeoutMs: 5_000, fault } } });
      await fixture.clock.advance(400);
      expect(policy.fault).toBeUndefined();

      fixture.reload({ policies: { p: { ...bare, timeoutMs: 5_000, fault: { ...fault, errorRatio: 0.9 } } } });
      await fixture.clock.advance(999);
      expect(policy.fault).toMatchObject({ what: 'errors 90 %', until: fixture.clock.now() + 1 });
      await fixture.clock.advance(1);
      expect(policy.fault).toBeUndefined();
    });

    it('comes at an instant that the configuration names', async () => {
      const until = new Date(Date.UTC(2026, 0, 1) + 1_000).toISOString();
      const policy = policyWith({ fault: { errorRatio: 1, until } });
      await expect(policy.execute(work)).rejects.toThrow(until);
      await fixture.clock.advance(1_000);
      await expect(policy.execute(work)).resolves.toBe('answer');
    });

    it('may be further away than a timer can be', async () => {
      const inDays = (days: number) => days * 86_400_000;
      const policy = policyWith({
        fault: { errorRatio: 1, until: new Date(Date.UTC(2026, 0, 1) + inDays(40)).toISOString() },
      });
      await fixture.clock.advance(inDays(39));
      expect(policy.fault).toBeDefined();
      await fixture.clock.advance(inDays(1));
      expect(policy.fault).toBeUndefined();
    });

    it('is told outside of the request in which the policy was first used', async () => {
      fixture = new ResilienceFixture({ policies: { p: { ...bare, fault: { errorRatio: 1, ttlMs: 1_000 } } } });
      const seen: unknown[] = [];
      fixture.events.on('policy.fault', () => void seen.push(fixture.contexts.current()?.correlationId));
      fixture.contexts.run({ correlationId: 'request' }, () => fixture.manager.policy('p'));
      await fixture.clock.advance(1_000);
      expect(seen).toEqual(['request', undefined]);
    });

    it('lets hanging attempts go on to their function', async () => {
      const policy = policyWith({ fault: { hangRatio: 1, ttlMs: 1_000 } });
      const call = policy.execute(work);
      await fixture.clock.advance(1_000);
      await expect(call).resolves.toBe('answer');
    });

    it('comes at once when the configuration no longer asks for the fault', async () => {
      const policy = policyWith({ fault: { errorRatio: 1, ttlMs: 1_000 } });
      fixture.reload({ policies: { p: bare } });
      await expect(policy.execute(work)).resolves.toBe('answer');
      expect(fixture.eventsOf('policy.fault').at(-1)).toMatchObject({ state: 'off' });
    });

    it('is over at boot when its instant has passed', async () => {
      const policy = policyWith({ fault: { errorRatio: 1, until: '2025-01-01T00:00:00Z' } });
      await expect(policy.execute(work)).resolves.toBe('answer');
      expect(fixture.manager.describePolicy('p').order).toBe('function');
      expect(fixture.eventsOf('policy.fault')).toEqual([]);
    });
  });

  describe('injected by code', () => {
    it('does what the plan says for each attempt, until it is disposed', async () => {
      const policy = policyWith({});
      const error = new Error('no money');
      const lift = policy.injectFaults(({ attempt }) => (attempt === 1 ? { error } : undefined));
      await expect(policy.execute(work)).rejects.toBe(error);
      lift[Symbol.dispose]();
      await expect(policy.execute(work)).resolves.toBe('answer');
      expect(policy.faults).toBeUndefined();
    });

    it('stands above the configuration, which comes back after it', async () => {
      const policy = policyWith({ fault: { errorRatio: 1, ttlMs: 1_000 } });
      const lift = policy.injectFaults(() => undefined);
      await expect(policy.execute(work)).resolves.toBe('answer');
      lift[Symbol.dispose]();
      lift[Symbol.dispose]();
      await expect(policy.execute(work)).rejects.toThrow('injected');
    });

    it('counts as the failure of the call when the plan itself throws', async () => {
      const policy = policyWith({});
      policy.injectFaults(() => {
        throw new Error('bad plan');
      });
      await expect(policy.execute(work)).rejects.toThrow('bad plan');
    });
  });

  describe('lets go on only those who wait for it', () => {
    const hangs = () => ({ delayMs: Infinity });
    const fault = { hangRatio: 1, ttlMs: 1_000 };

    it('when code lifts its fault above the configuration', async () => {
      const policy = policyWith({ fault });
      const configured = policy.execute(work);
      const lift = policy.injectFaults(hangs);
      const injected = policy.execute(work);
      lift[Symbol.dispose]();
      await expect(injected).resolves.toBe('answer');
      expect(work).toHaveBeenCalledTimes(1);
      await fixture.clock.advance(1_000);
      await expect(configured).resolves.toBe('answer');
    });

    it('when the time of the configured one is over', async () => {
      const policy = policyWith({ fault });
      const lift = policy.injectFaults(hangs);
      const injected = policy.execute(work);
      await fixture.clock.advance(2_000);
      expect(work).not.toHaveBeenCalled();
      lift[Symbol.dispose]();
      await expect(injected).resolves.toBe('answer');
    });

    it('when the configuration replaces it', async () => {
      const policy = policyWith({ fault });
      const hanging = policy.execute(work);
      fixture.reload({ policies: { p: { ...bare, fault: { errorRatio: 1, ttlMs: 1_000 } } } });
      await expect(hanging).resolves.toBe('answer');
    });
  });

  describe('what shows it', () => {
    it('is the order, the fault and the breaker', () => {
      const policy = policyWith({
        circuitBreaker: {},
        fault: { errorRatio: 0.305, delayMs: 200, delayRatio: 0.5, hangRatio: 0.01, ttlMs: 60_000 },
      });
      policy.breakerFor(undefined, 0);
      const what = 'errors 30.5 %, delay 200 ms for 50 %, hangs 1 %';
      const until = fixture.clock.now() + 60_000;
      const described = fixture.manager.describePolicy('p');
      expect(described.order).toBe(
        `circuit breaker 50 % -> fault injection: ${what} until ${new Date(until).toISOString()} -> function`,
      );
      expect(described.fault).toEqual({ what, until });
      expect(fixture.manager.list()).toEqual([expect.objectContaining({ fault: { what, until } })]);
    });

    it('is a stage of single decorators too, which name only protections', () => {
      fixture = new ResilienceFixture({ policies: { '*': { fault: { errorRatio: 1, ttlMs: 60_000 } } } });
      fixture.manager.declare('p', { onlyNamed: true, circuitBreaker: {} }, 'Service.p');
      expect(fixture.manager.describePolicy('p').order).toMatch(
        /^circuit breaker 50 % -> fault injection: errors 100 %/,
      );
    });
  });

  describe('what it refuses', () => {
    const problemsOf = (options: object): string[] =>
      (resilienceSchema.safeParse(options).error?.issues ?? []).map(
        ({ path, message }) => `${path.join('.')}: ${message}`,
      );

    it.each([
      ['a fault without an end', { errorRatio: 1 }, 'has no end: give ttlMs or until'],
      ['two ends', { errorRatio: 1, ttlMs: 1, until: '2026-01-01T00:00:00Z' }, 'both ttlMs and until'],
      ['a fault that does nothing', { ttlMs: 1, delayRatio: 1 }, 'does nothing'],
      ['an instant that is none', { errorRatio: 1, until: 'tomorrow' }, 'Invalid'],
    ])('is %s', (_, fault, text) => {
      expect(problemsOf({ policies: { p: { fault } } }).join()).toContain(text);
    });

    it('is every fault in production, unless it is allowed', () => {
      const fault = { errorRatio: 0.1, ttlMs: 1_000 };
      const options = { policies: { p: { fault } }, groups: { g: { fault } } };
      expect(problemsOf(options)).toEqual([]);
      vi.stubEnv('NODE_ENV', 'production');
      expect(problemsOf(options)).toEqual([
        expect.stringMatching(/^groups\.g\.fault: faults are refused in production/),
        expect.stringMatching(/^policies\.p\.fault: faults are refused in production/),
      ]);
      expect(problemsOf({ ...options, allowFaultsInProduction: true })).toEqual([]);
      expect(problemsOf({ policies: { p: { fault: false } } })).toEqual([]);
    });

    it('is a fault for every policy by the defaults, and one that code declares', () => {
      expect(problemsOf({ defaults: { fault: { errorRatio: 1, ttlMs: 1 } } }).join()).toContain('fault');
      fixture = new ResilienceFixture();
      expect(() => fixture.manager.declare('p', { fault: { errorRatio: 1, ttlMs: 1 } } as never, 'Code')).toThrow(
        'fault',
      );
    });
  });
});
