import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, describe, expect, it } from 'vitest';
import { BadRequestException } from '@nestjs/common';
import { deferred, failing, ResilienceFixture } from '../../../../test/resilience/resilience.fixture.js';
import type { PolicyOptions } from './resilience.options.js';

/** Each trap of opossum that its users fall into, by its number in reference/resilience.md 2.4, through our API. */
describe('what opossum gets wrong and a policy does not', () => {
  let fixture: ResilienceFixture;
  afterEach(() => fixture.close());

  const policyWith = (options: PolicyOptions = {}) => {
    fixture = new ResilienceFixture({ policies: { p: { retry: false, ...options } } });
    return fixture.manager.policy('p');
  };
  const state = () => fixture.manager.breaker('p').state;
  const fails = async (times: number) => {
    for (let i = 0; i < times; i++) await expect(fixture.manager.policy('p').execute(failing)).rejects.toThrow();
  };
  const few = { minimumCalls: 2, openJitterRatio: 0 };

  it('1: settles the call when a listener or a predicate throws', async () => {
    fixture = new ResilienceFixture();
    const { manager, events } = fixture;
    const boom = () => {
      throw new Error('listener');
    };
    manager.declare('p', { retry: false, circuitBreaker: few, isFailure: boom, isFailureResult: boom }, 'test');
    for (const name of ['breaker.transition', 'call.timeout', 'policy.predicate-failed'] as const)
      events.on(name, boom);
    await expect(manager.policy('p').execute(async () => 1)).resolves.toBe(1);
    await fails(1);
    expect(state()).toBe('open');
    await expect(manager.policy('p').execute(async () => 1)).rejects.toMatchObject({ code: 'MESH_CIRCUIT_OPEN' });
    expect(fixture.listenerErrors.length).toBeGreaterThan(0);
    fixture.listenerErrors.length = 0;
  });

  it('2: takes a function that returns nothing, or throws at once', async () => {
    const policy = policyWith();
    await expect(policy.execute(() => undefined)).resolves.toBeUndefined();
    await expect(policy.execute(() => null)).resolves.toBeNull();
    const throws = (): never => {
      throw new Error('at once');
    };
    await expect(policy.execute(throws)).rejects.toThrow('at once');
    fixture.manager.breaker('p').disable({ reason: 'test' });
    await expect(policy.execute(throws)).rejects.toThrow('at once');
  });

  it('3: does not open on the first failure', async () => {
    policyWith();
    await fails(19);
    expect(state()).toBe('closed');
    await fails(1);
    expect(state()).toBe('open');
  });

  it('4: does not count its own bulkhead against the callee', async () => {
    const policy = policyWith({ bulkhead: { maxConcurrent: 1 }, circuitBreaker: few });
    const work = deferred<void>();
    const running = policy.execute(() => work.promise);
    for (let i = 0; i < 5; i++)
      await expect(policy.execute(async () => 1)).rejects.toMatchObject({ code: 'MESH_BULKHEAD_FULL' });
    work.resolve();
    await running;
    expect(fixture.manager.list()[0]).toMatchObject({ state: 'closed', failures: 0, calls: 1 });
  });

  it('5: keeps the slot until the work has really ended', async () => {
    const policy = policyWith({ timeoutMs: 100, bulkhead: { maxConcurrent: 1 } });
    const work = deferred<void>();
    const first = policy.execute(() => work.promise);
    const timedOut = expect(first).rejects.toMatchObject({ code: 'MESH_ATTEMPT_TIMEOUT' });
    await fixture.clock.advance(100);
    await timedOut;
    await expect(policy.execute(async () => 1)).rejects.toMatchObject({ code: 'MESH_BULKHEAD_FULL' });
    work.resolve();
    await fixture.clock.advance(0);
    await expect(policy.execute(async () => 1)).resolves.toBe(1);
    expect(fixture.manager.list()[0]).toMatchObject({ calls: 2, failures: 1 });
  });

  it('6: counts only what ran', async () => {
    const policy = policyWith({ circuitBreaker: { minimumCalls: 10, openJitterRatio: 0 } });
    const { manager } = fixture;
    const hold = manager.breaker('p').isolate({ reason: 'test' });
    for (let i = 0; i < 100; i++) await expect(policy.execute(async () => 1)).rejects.toThrow('isolated');
    hold[Symbol.dispose]();
    expect(manager.list()[0]).toMatchObject({ calls: 0 });
    await fails(10);
    expect(state()).toBe('open');
  });

  it('7 and 8: leaves coalescing and caching to parts that know how', async () => {
    const policy = policyWith();
    let calls = 0;
    const work = async () => ++calls;
    await Promise.all([policy.execute(work), policy.execute(work)]);
    expect(calls).toBe(2);
  });

  it('9: keeps two policies apart that were given one options object', async () => {
    const options: PolicyOptions = { retry: false, circuitBreaker: few };
    fixture = new ResilienceFixture({ policies: { p: options, q: options } });
    await fails(2);
    expect(state()).toBe('open');
    await expect(fixture.manager.policy('q').execute(async () => 'q')).resolves.toBe('q');
    expect(options).toEqual({ retry: false, circuitBreaker: few });
  });

  it('10: gives each call a signal of its own', async () => {
    const policy = policyWith({ timeoutMs: 100 });
    const signals: AbortSignal[] = [];
    const first = expect(
      policy.execute(({ signal }) => {
        signals.push(signal);
        return new Promise(() => undefined);
      }),
    ).rejects.toThrow('gave up');
    await fixture.clock.advance(50);
    const work = deferred<number>();
    const second = policy.execute(({ signal }) => {
      signals.push(signal);
      return work.promise;
    });
    await fixture.clock.advance(50);
    await first;
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    work.resolve(2);
    await expect(second).resolves.toBe(2);
  });

  it('11: gets out of half-open when a probe hangs', async () => {
    const policy = policyWith({
      timeoutMs: false,
      totalTimeoutMs: false,
      circuitBreaker: { ...few, openMs: 1_000, halfOpenCalls: 1 },
    });
    await fails(2);
    await fixture.clock.advance(1_000);
    const hanging = deferred<void>();
    const probe = policy.execute(() => hanging.promise);
    await expect(policy.execute(async () => 1)).rejects.toMatchObject({ code: 'MESH_CIRCUIT_OPEN' });
    await fixture.clock.advance(1_000);
    await expect(policy.execute(async () => 1)).resolves.toBe(1);
    expect(state()).toBe('closed');
    hanging.resolve();
    await probe;
  });

  it('12: does not let a success from before the opening close it', async () => {
    const policy = policyWith({ circuitBreaker: { ...few, openMs: 1_000, halfOpenCalls: 1 } });
    const early = deferred<string>();
    const call = policy.execute(() => early.promise);
    await fails(2);
    await fixture.clock.advance(1_000);
    expect(state()).toBe('half-open');
    early.resolve('late');
    await expect(call).resolves.toBe('late');
    expect(state()).toBe('half-open');
  });

  it('13: starts with an empty window after it has closed', async () => {
    const policy = policyWith({ circuitBreaker: { ...few, openMs: 1_000, halfOpenCalls: 1 } });
    await fails(2);
    await fixture.clock.advance(1_000);
    await policy.execute(async () => 1);
    await fails(1);
    expect(state()).toBe('closed');
    expect(fixture.manager.list()[0]).toMatchObject({ calls: 1, failures: 1 });
  });

  it("14: takes a caller's mistake during half-open for neither success nor failure", async () => {
    const policy = policyWith({ circuitBreaker: { ...few, openMs: 1_000, halfOpenCalls: 1 } });
    await fails(2);
    await fixture.clock.advance(1_000);
    const badRequest = async () => {
      throw new BadRequestException();
    };
    await expect(policy.execute(badRequest)).rejects.toThrow('Bad Request');
    expect(state()).toBe('half-open');
    await policy.execute(async () => 1);
    expect(state()).toBe('closed');
  });

  it('15: keeps the rest of the open time over a reload', async () => {
    policyWith({ circuitBreaker: { ...few, openMs: 10_000 } });
    await fails(2);
    await fixture.clock.advance(4_000);
    fixture.reload({ policies: { p: { retry: false, circuitBreaker: { ...few, openMs: 1_000, windowMs: 60_000 } } } });
    await fixture.clock.advance(5_999);
    expect(state()).toBe('open');
    await fixture.clock.advance(1);
    expect(state()).toBe('half-open');
  });

  it('16: runs nothing after the shutdown, and changes no state', async () => {
    const policy = policyWith({ circuitBreaker: few });
    const work = deferred<void>();
    const running = policy.execute(() => work.promise).catch((error: unknown) => error);
    await fails(1);
    fixture.manager.dispose();
    work.reject(new Error('late'));
    await expect(running).resolves.toMatchObject({ code: 'MESH_DRAINING' });
    expect(state()).toBe('closed');
    let ran = false;
    await expect(policy.execute(async () => (ran = true))).rejects.toMatchObject({ code: 'MESH_DRAINING' });
    expect(ran).toBe(false);
  });

  it('17: has no timer of its own, closed or open', async () => {
    policyWith({ timeoutMs: false, totalTimeoutMs: false, circuitBreaker: few });
    await fails(2);
    expect(state()).toBe('open');
    expect(fixture.clock.pendingTimers).toBe(0);
  });

  it('18: refuses open times that a timer could not keep', () => {
    expect(() => new ResilienceFixture({ policies: { p: { circuitBreaker: { openMs: 2 ** 31 } } } })).toThrow();
    expect(() => new ResilienceFixture({ policies: { p: { circuitBreaker: { openMs: Infinity } } } })).toThrow();
    policyWith();
  });

  it('19: stays isolated until it is released', async () => {
    const policy = policyWith({ circuitBreaker: few });
    const breaker = fixture.manager.breaker('p');
    breaker.isolate({ reason: 'maintenance' });
    await fixture.clock.advance(3_600_000);
    await expect(policy.execute(async () => 1)).rejects.toThrow(
      'isolated by an operator until it is released: maintenance',
    );
    breaker.release();
    await expect(policy.execute(async () => 1)).resolves.toBe(1);
  });

  it("20: never runs its own work in a stranger's async context", async () => {
    const policy = policyWith({ circuitBreaker: { ...few, openMs: 1_000 }, timeoutMs: 100 });
    const requests = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    fixture.events.on('call.timeout', () => void seen.push(requests.getStore()));
    const call = requests.run('first', () => policy.execute(() => new Promise(() => undefined)));
    const rejected = expect(call).rejects.toThrow();
    await fixture.clock.advance(100);
    await rejected;
    expect(seen).toEqual([undefined]);
  });

  it('21: takes any number of breakers without a warning', async () => {
    fixture = new ResilienceFixture({ policies: { 'p*': { retry: false, circuitBreaker: few } } });
    const warnings: string[] = [];
    const onWarning = (warning: Error) => void warnings.push(warning.name);
    process.on('warning', onWarning);
    for (let i = 0; i < 50; i++)
      for (let n = 0; n < 2; n++)
        await fixture.manager
          .policy(`p${i}`)
          .execute(failing)
          .catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
    expect(fixture.manager.list().every((breaker) => breaker.state === 'open')).toBe(true);
  });

  it('22: does not care when the clock of the machine jumps, or what is thrown', async () => {
    const policy = policyWith({ circuitBreaker: { ...few, openMs: 1_000 } });
    const nothing = (): never => {
      throw undefined;
    };
    await expect(policy.execute(nothing)).rejects.toBeUndefined();
    await expect(policy.execute(nothing)).rejects.toBeUndefined();
    expect(state()).toBe('open');
    fixture.clock.jump(3_600_000);
    expect(state()).toBe('open');
    fixture.clock.jump(-7_200_000);
    await fixture.clock.advance(1_000);
    expect(state()).toBe('half-open');
  });

  it('23: asks the fallback only for what it is for, and counts it only when asked', async () => {
    const policy = policyWith({ circuitBreaker: few });
    const fallback = () => 'fallback';
    const badRequest = async (): Promise<string> => {
      throw new BadRequestException();
    };
    await expect(policy.execute(badRequest, { fallback })).rejects.toThrow('Bad Request');
    await expect(policy.execute<string>(failing, { fallback })).resolves.toBe('fallback');
    await fails(1);
    await expect(policy.execute(async () => 'value', { fallback })).resolves.toBe('fallback');
    await expect(policy.execute<string>(failing, { fallback, fallbackWhen: () => false })).rejects.toThrow('open');
    expect(fixture.metrics.value('mesh_calls_total', { policy: 'p', outcome: 'fallback' })).toBe(2);
  });
});
