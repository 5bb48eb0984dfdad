import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, describe, expect, it } from 'vitest';
import { BlockingClock } from '../../../../test/blocking-clock.fixture.js';
import { deferred, failing, ResilienceFixture } from '../../../../test/resilience/resilience.fixture.js';
import { callSignal } from './call-signal.js';
import { attemptsOf } from './error-classification.js';
import type { PolicyOptions } from './resilience.options.js';

const never = (): Promise<never> => new Promise(() => undefined);
const flaky = (failures: number, error: unknown = new Error('flaky')) => {
  let calls = 0;
  return Object.assign(
    async () => {
      if (calls++ < failures) throw error;
      return calls;
    },
    { calls: () => calls },
  );
};
const unsent = () => Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });

describe('a call through a policy', () => {
  let fixture: ResilienceFixture;
  afterEach(() => fixture.close());

  const policyWith = (options: PolicyOptions = {}) => {
    fixture = new ResilienceFixture({ policies: { p: options } });
    return fixture.manager.policy('p');
  };
  const outcomes = (outcome: string) => fixture.metrics.value('mesh_calls_total', { policy: 'p', outcome });

  describe('limits', () => {
    it('gives an attempt up after timeoutMs, aborts its signal and counts the late result', async () => {
      const policy = policyWith({ timeoutMs: 100, retry: false });
      const work = deferred<string>();
      let signal: AbortSignal | undefined;
      const call = policy.execute((attempt) => ((signal = attempt.signal), work.promise));
      const rejected = expect(call).rejects.toMatchObject({ code: 'MESH_ATTEMPT_TIMEOUT', status: 504 });
      await fixture.clock.advance(100);
      await rejected;
      expect(signal).toMatchObject({ aborted: true, reason: { code: 'MESH_ATTEMPT_TIMEOUT' } });
      work.resolve('late');
      await fixture.clock.advance(10);
      expect(fixture.eventsOf('call.late')).toEqual([{ policy: 'p', attempt: 1, afterMs: 100, failed: false }]);
      expect(outcomes('timeout')).toBe(1);
    });

    it('tells the function how much time is left, and makes the signal only when asked', async () => {
      const policy = policyWith({ timeoutMs: 100, totalTimeoutMs: 500 });
      const left: number[] = [];
      const call = policy.execute(async (attempt) => {
        left.push(attempt.remainingMs);
        await fixture.clock.sleep(40);
        left.push(attempt.remainingMs);
      });
      await fixture.clock.advance(40);
      await call;
      expect(left).toEqual([100, 60]);
    });

    it.each([
      ['the total timeout', { totalTimeoutMs: 50 }, {}, undefined],
      ["the caller's deadline", {}, { inMs: 50 }, undefined],
      ['the inherited deadline', {}, {}, 50],
    ])('ends with %s, whichever is first', async (_, options, { inMs }: { inMs?: number }, inherited) => {
      const policy = policyWith({ retry: false, ...options });
      const { clock, contexts } = fixture;
      const execute = () => policy.execute(never, { ...(inMs !== undefined && { deadline: clock.now() + inMs }) });
      const call =
        inherited === undefined
          ? execute()
          : contexts.run({ correlationId: 'c', deadlineAt: clock.now() + inherited }, execute);
      const rejected = expect(call).rejects.toMatchObject({ code: 'MESH_DEADLINE_EXCEEDED' });
      await clock.advance(50);
      await rejected;
    });

    it('does not start when no time is left', async () => {
      const policy = policyWith();
      const call = policy.execute(async () => 1, { deadline: fixture.clock.now() - 1 });
      await expect(call).rejects.toMatchObject({ code: 'MESH_DEADLINE_EXCEEDED' });
      expect(fixture.manager.list()).toMatchObject([{ calls: 0 }]);
    });

    it('holds a short inherited deadline not against the callee, but a long one', async () => {
      const policy = policyWith({ retry: false });
      for (const [inMs, failures] of [
        [20, 0],
        [2_000, 1],
      ] as const) {
        const call = expect(policy.execute(never, { deadline: fixture.clock.now() + inMs })).rejects.toThrow();
        await fixture.clock.advance(inMs);
        await call;
        expect(fixture.manager.list()[0]).toMatchObject({ failures });
      }
    });

    it('takes the timeout of one call, and refuses one that is no time', async () => {
      const policy = policyWith({ timeoutMs: 1_000, retry: false });
      const call = expect(policy.execute(never, { timeoutMs: 10 })).rejects.toMatchObject({
        code: 'MESH_ATTEMPT_TIMEOUT',
      });
      await fixture.clock.advance(10);
      await call;
      for (const timeoutMs of [0, -1, NaN])
        await expect(policy.execute(async () => 1, { timeoutMs })).rejects.toThrow('must be above 0');
    });

    it('refuses a deadline that is no instant, instead of having none', async () => {
      const deadline = Date.parse('tomorrow');
      await expect(policyWith().execute(never, { deadline })).rejects.toThrow('deadline of a call through policy "p"');
    });

    it('keeps a deadline that lies further ahead than a timer reaches', async () => {
      const policy = policyWith({ timeoutMs: false, totalTimeoutMs: false, retry: false });
      const days = 30 * 86_400_000;
      const call = expect(policy.execute(never, { deadline: fixture.clock.now() + days })).rejects.toThrow(
        'out of time',
      );
      await fixture.clock.advance(days - 1);
      expect(fixture.manager.inFlight).toBe(1);
      await fixture.clock.advance(1);
      await call;
    });

    it("ends at once when the caller's signal aborts, and counts it for nothing", async () => {
      const policy = policyWith();
      const controller = new AbortController();
      let seen: AbortSignal | undefined;
      const call = policy.execute(({ signal }) => ((seen = signal), never()), { signal: controller.signal });
      controller.abort('bye');
      await expect(call).rejects.toMatchObject({ code: 'MESH_CANCELLED', cause: 'bye' });
      expect(seen?.aborted).toBe(true);
      expect(fixture.manager.list()[0]).toMatchObject({ calls: 0 });
      await expect(policy.execute(async () => 1, { signal: controller.signal })).rejects.toThrow('cancelled');
    });

    it('shows the signal of the attempt to code that knows no attempt', async () => {
      const policy = policyWith({ timeoutMs: 10, retry: false });
      let inner: AbortSignal | undefined;
      const call = expect(policy.execute(() => ((inner = callSignal()), never()))).rejects.toThrow();
      await fixture.clock.advance(10);
      await call;
      expect(inner?.aborted).toBe(true);
      expect(callSignal().aborted).toBe(false);
    });
  });

  describe('retry', () => {
    it('repeats an idempotent call, and tells how often', async () => {
      const policy = policyWith();
      const work = flaky(2);
      const call = policy.execute(work, { idempotent: true });
      await fixture.clock.advance(1_000);
      await expect(call).resolves.toBe(3);
      expect(fixture.eventsOf('call.retry').map(({ delayMs }) => delayMs)).toEqual([50, 100]);
      expect(fixture.metrics.value('mesh_retries_total', { policy: 'p' })).toBe(2);
      expect(outcomes('success')).toBe(1);
    });

    it('repeats a call that is not idempotent only when it was never sent', async () => {
      const policy = policyWith();
      const sent = flaky(1);
      await expect(policy.execute(sent)).rejects.toThrow('flaky');
      const call = policy.execute(flaky(1, unsent()));
      await fixture.clock.advance(1_000);
      await expect(call).resolves.toBe(2);
      const wrapped = policy.execute(flaky(1, new TypeError('fetch failed', { cause: unsent() })));
      await fixture.clock.advance(1_000);
      await expect(wrapped).resolves.toBe(2);
    });

    it('gives the last error up with the number of attempts, so that an outer policy does not repeat it', async () => {
      const policy = policyWith();
      const outer = fixture.manager.declare('outer', { idempotent: true }, 'test');
      const work = flaky(99);
      const call = outer.execute(() => policy.execute(work, { idempotent: true })).catch((error: unknown) => error);
      await fixture.clock.advance(10_000);
      expect(attemptsOf(await call)).toBe(3);
      expect(work.calls()).toBe(3);
    });

    it('repeats what fails with the error object of an earlier call', async () => {
      const policy = policyWith();
      const always = new Error('down');
      const earlier = policy.execute(flaky(99, always), { idempotent: true }).catch((error: unknown) => error);
      await fixture.clock.advance(10_000);
      expect(attemptsOf(await earlier)).toBe(3);
      const call = policy.execute(flaky(2, always), { idempotent: true });
      await fixture.clock.advance(10_000);
      await expect(call).resolves.toBe(3);
    });

    it('waits as long as the callee asks, and not at all when it asks for too much', async () => {
      const policy = policyWith({ totalTimeoutMs: false });
      const asks = (retryAfterMs: number) => flaky(1, Object.assign(new Error('busy'), { retryAfterMs }));
      const patient = policy.execute(asks(7_000), { idempotent: true });
      await fixture.clock.advance(6_999);
      expect(fixture.manager.inFlight).toBe(1);
      await fixture.clock.advance(1);
      await expect(patient).resolves.toBe(2);
      await expect(policy.execute(asks(31_000), { idempotent: true })).rejects.toThrow('busy');
      const header = Object.assign(new Error('429'), { response: { status: 429, headers: { 'retry-after': '3' } } });
      const byHeader = policy.execute(flaky(1, header), { idempotent: true });
      await fixture.clock.advance(3_000);
      await expect(byHeader).resolves.toBe(2);
    });

    it('gives up when the wait would pass the deadline', async () => {
      const policy = policyWith({ timeoutMs: 30, totalTimeoutMs: 40, retry: { jitter: 'none' } });
      await expect(policy.execute(flaky(1), { idempotent: true })).rejects.toThrow('flaky');
    });

    it('repeats an attempt that timed out, in the async context of the caller', async () => {
      const policy = policyWith({ timeoutMs: 10 });
      const requests = new AsyncLocalStorage<string>();
      const seen: (string | undefined)[] = [];
      const call = requests.run('mine', () =>
        policy.execute(({ attempt }) => (seen.push(requests.getStore()), attempt === 1 ? never() : 'ok'), {
          idempotent: true,
        }),
      );
      await fixture.clock.advance(1_000);
      await expect(call).resolves.toBe('ok');
      expect(seen).toEqual(['mine', 'mine']);
    });

    it('never repeats a refusal, a mistake of the caller, or what its caller forbids', async () => {
      const policy = policyWith({ circuitBreaker: { minimumCalls: 1 } });
      const options = { idempotent: true, mayRepeat: () => false };
      await expect(policy.execute(failing, options)).rejects.toThrow('down');
      await expect(policy.execute(failing, { idempotent: true })).rejects.toThrow('open');
      expect(fixture.eventsOf('call.retry')).toEqual([]);
    });

    it('repeats a value that counts as failure, and answers with it in the end', async () => {
      fixture = new ResilienceFixture();
      const policy = fixture.manager.declare('p', { isFailureResult: (value) => value === 'bad' }, 'test');
      let calls = 0;
      const call = policy.execute(async () => (calls++, 'bad'), { idempotent: true });
      await fixture.clock.advance(10_000);
      await expect(call).resolves.toBe('bad');
      expect(calls).toBe(3);
      expect(fixture.manager.list()[0]).toMatchObject({ failures: 3 });
    });

    it('ends a back-off when its caller gives up', async () => {
      const policy = policyWith();
      const controller = new AbortController();
      const call = policy.execute(failing, { idempotent: true, signal: controller.signal });
      const rejected = expect(call).rejects.toMatchObject({ code: 'MESH_CANCELLED' });
      await fixture.clock.advance(1);
      controller.abort();
      await rejected;
      expect([fixture.manager.inFlight, outcomes('cancelled'), outcomes('failure')]).toEqual([0, 1, 0]);
    });

    it('goes on as it began when retries are switched off meanwhile', async () => {
      const policy = policyWith();
      const call = policy.execute(flaky(1), { idempotent: true });
      fixture.reload({ policies: { p: { retry: false } } });
      await fixture.clock.advance(200);
      await expect(call).resolves.toBe(2);
      await expect(policy.execute(flaky(1), { idempotent: true })).rejects.toThrow('flaky');
    });

    it('adds no more than a fifth and the floor to the load of a callee that is down', async () => {
      const policy = policyWith({ circuitBreaker: false, retry: { delayMs: 1, maxDelayMs: 1 } });
      let sent = 0;
      const down = async (): Promise<never> => {
        sent++;
        throw new Error('down');
      };
      const calls = Array.from({ length: 1_000 }, () => policy.execute(down, { idempotent: true }).catch(() => 0));
      await fixture.clock.advance(100);
      await Promise.all(calls);
      expect(sent).toBe(1_000 + 200 + 30);
      expect(fixture.eventsOf('call.retry-budget-exhausted').length).toBeGreaterThan(0);
    });
  });

  describe('bulkhead', () => {
    const bulkhead = { maxConcurrent: 1, maxQueued: 2, maxWaitMs: 100 };

    it('runs queued calls in order, each in its own async context', async () => {
      const policy = policyWith({ retry: false, bulkhead });
      const requests = new AsyncLocalStorage<number>();
      const order: (number | undefined)[] = [];
      const gates = [deferred<void>(), deferred<void>(), deferred<void>()];
      const calls = gates.map((gate, i) =>
        requests.run(i, () => policy.execute(() => (order.push(requests.getStore()), gate.promise))),
      );
      await expect(policy.execute(async () => 1)).rejects.toThrow('2 of 2 places');
      for (const gate of gates) {
        gate.resolve();
        await fixture.clock.advance(0);
      }
      await Promise.all(calls);
      expect(order).toEqual([0, 1, 2]);
    });

    it('lets a waiting call go when it has waited long enough, or its caller gives up', async () => {
      const policy = policyWith({ retry: false, bulkhead });
      const gate = deferred<void>();
      const controller = new AbortController();
      const running = policy.execute(() => gate.promise);
      const waiting = expect(policy.execute(async () => 1)).rejects.toThrow('within 100 ms');
      const aborted = expect(policy.execute(async () => 1, { signal: controller.signal })).rejects.toThrow('cancelled');
      controller.abort();
      await aborted;
      await fixture.clock.advance(100);
      await waiting;
      gate.resolve();
      await running;
      await expect(policy.execute(async () => 'free')).resolves.toBe('free');
    });

    it('asks the breaker again when the slot comes', async () => {
      const policy = policyWith({ retry: false, bulkhead, circuitBreaker: { minimumCalls: 1 } });
      const gate = deferred<void>();
      let ran = false;
      const running = expect(policy.execute(() => gate.promise)).rejects.toThrow('down');
      const waiting = expect(policy.execute(async () => (ran = true))).rejects.toMatchObject({
        code: 'MESH_CIRCUIT_OPEN',
      });
      gate.reject(new Error('down'));
      await running;
      await waiting;
      expect(ran).toBe(false);
    });

    it('runs no waiting call whose deadline passed while the event loop was blocked', async () => {
      const clock = new BlockingClock();
      const options: PolicyOptions = { retry: false, timeoutMs: 400, totalTimeoutMs: 500, bulkhead };
      fixture = new ResilienceFixture({ policies: { p: options } }, clock);
      const policy = fixture.manager.policy('p');
      const gate = deferred<void>();
      const running = policy.execute(() => gate.promise);
      const waiting = expect(policy.execute(failing)).rejects.toMatchObject({ code: 'MESH_DEADLINE_EXCEEDED' });
      clock.block(500);
      gate.resolve();
      await Promise.all([running, waiting]);
      expect(fixture.manager.breaker('p').snapshot()).toMatchObject({ calls: 1, failures: 0 });
      expect(policy.bulkhead).toMatchObject({ running: 0, queued: 0 });
    });

    it('gets through a long queue of functions that do not wait', async () => {
      const policy = policyWith({ retry: false, bulkhead: { maxConcurrent: 1, maxQueued: 20_000 } });
      const gate = deferred<void>();
      const first = policy.execute(() => gate.promise);
      const calls = Array.from({ length: 20_000 }, (_, i) => policy.execute(() => i));
      gate.resolve();
      await first;
      expect((await Promise.all(calls)).at(-1)).toBe(19_999);
    });

    it('takes more slots at once when the limit is raised', async () => {
      const policy = policyWith({ retry: false, bulkhead });
      const gate = deferred<void>();
      const calls = [policy.execute(() => gate.promise), policy.execute(async () => 'second')];
      fixture.reload({ policies: { p: { retry: false, bulkhead: { ...bulkhead, maxConcurrent: 2 } } } });
      await expect(calls[1]).resolves.toBe('second');
      gate.resolve();
      await calls[0];
    });
  });

  it('limits the rate, and says when the next token comes', async () => {
    const policy = policyWith({ retry: false, rateLimit: { limit: 2, intervalMs: 1_000 } });
    await policy.execute(async () => 1);
    await policy.execute(async () => 1);
    await expect(policy.execute(async () => 1)).rejects.toMatchObject({ code: 'MESH_RATE_LIMITED', retryAfterMs: 500 });
    await fixture.clock.advance(500);
    await expect(policy.execute(async () => 1)).resolves.toBe(1);
    expect(outcomes('ratelimit')).toBe(1);
  });

  describe('hedge', () => {
    const hedge = { delayMs: 50 };

    it('starts a twin of a slow call, takes the first answer and aborts the other', async () => {
      const policy = policyWith({ hedge });
      const signals: AbortSignal[] = [];
      const call = policy.execute(
        ({ attempt, signal }) => (signals.push(signal), attempt === 1 ? never() : Promise.resolve('twin')),
        { idempotent: true },
      );
      await fixture.clock.advance(50);
      await expect(call).resolves.toBe('twin');
      expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
      expect(fixture.manager.list()[0]).toMatchObject({ calls: 1, failures: 0 });
    });

    it('waits for the other attempt when one fails', async () => {
      const policy = policyWith({ hedge });
      const twin = deferred<string>();
      const first = deferred<string>();
      const call = policy.execute(({ attempt }) => (attempt === 1 ? first : twin).promise, { idempotent: true });
      await fixture.clock.advance(50);
      first.reject(new Error('first'));
      await fixture.clock.advance(10);
      twin.resolve('twin');
      await expect(call).resolves.toBe('twin');
    });

    it('leaves a call alone that is not idempotent', async () => {
      const policy = policyWith({ hedge });
      const gate = deferred<number>();
      const call = policy.execute(() => gate.promise);
      await fixture.clock.advance(1_000);
      gate.resolve(1);
      await call;
      expect(fixture.eventsOf('call.hedge')).toEqual([]);
    });

    it('learns its delay from the last calls', async () => {
      const policy = policyWith({ hedge: {} });
      for (let i = 0; i < 20; i++) {
        const call = policy.execute(() => fixture.clock.sleep(80), { idempotent: true });
        await fixture.clock.advance(80);
        await call;
      }
      const call = policy.execute(({ attempt }) => (attempt === 1 ? never() : Promise.resolve()), { idempotent: true });
      await fixture.clock.advance(80);
      await call;
      expect(fixture.eventsOf('call.hedge')).toMatchObject([{ afterMs: 80 }]);
    });
  });

  describe('the end of the application', () => {
    it('waits for the calls that are under way, retries included, and goes on taking new ones', async () => {
      const policy = policyWith({ retry: { maxRetries: 1, delayMs: 100, maxDelayMs: 100, jitter: 'none' } });
      const underWay = policy.execute(flaky(1), { idempotent: true });
      let isDrained = false;
      const drained = fixture.manager.drain({ signal: new AbortController().signal }).then(() => (isDrained = true));
      await expect(policy.execute(async () => 'new')).resolves.toBe('new');
      await fixture.clock.advance(10);
      expect(isDrained).toBe(false);
      await fixture.clock.advance(200);
      await expect(underWay).resolves.toBe(2);
      await drained;
      await expect(policy.execute(async () => 'of a hook')).resolves.toBe('of a hook');
    });

    it('aborts what is under way when the time to drain is over, and still takes new calls', async () => {
      const policy = policyWith();
      const running = expect(policy.execute(() => never())).rejects.toMatchObject({ code: 'MESH_DRAINING' });
      const time = new AbortController();
      const drained = fixture.manager.drain({ signal: time.signal });
      time.abort();
      await drained;
      await running;
      await expect(policy.execute(async () => 'of a hook')).resolves.toBe('of a hook');
      fixture.manager.dispose();
      expect(fixture.clock.pendingTimers).toBe(0);
    });

    it('refuses new calls, ends waits, lets running calls finish', async () => {
      const policy = policyWith({ bulkhead: { maxConcurrent: 1, maxQueued: 1 } });
      const gate = deferred<string>();
      const running = policy.execute(() => gate.promise);
      const waiting = expect(policy.execute(async () => 1)).rejects.toMatchObject({ code: 'MESH_DRAINING' });
      const drained = fixture.manager.stop({ deadlineAt: fixture.clock.now() + 1_000 });
      await waiting;
      await expect(policy.execute(async () => 1)).rejects.toMatchObject({ code: 'MESH_DRAINING' });
      gate.resolve('done');
      await expect(running).resolves.toBe('done');
      await drained;
      expect(fixture.clock.pendingTimers).toBe(0);
    });

    it('aborts what still runs when the time is over', async () => {
      const policy = policyWith();
      let signal: AbortSignal | undefined;
      const running = expect(policy.execute((attempt) => ((signal = attempt.signal), never()))).rejects.toMatchObject({
        code: 'MESH_DRAINING',
      });
      const drained = fixture.manager.stop({ deadlineAt: fixture.clock.now() + 1_000 });
      await fixture.clock.advance(1_000);
      await running;
      await drained;
      expect(signal?.aborted).toBe(true);
    });
  });
});
