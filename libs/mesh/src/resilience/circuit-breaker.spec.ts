import { afterEach, describe, expect, it } from 'vitest';
import { failing, ResilienceFixture } from '../../../../test/resilience/resilience.fixture.js';
import type { CircuitBreakerOptions } from './resilience.options.js';

const breaker = { minimumCalls: 2, openMs: 1_000, openJitterRatio: 0, halfOpenCalls: 3 };
const policies = (circuitBreaker: CircuitBreakerOptions) => ({
  policies: { p: { timeoutMs: false, totalTimeoutMs: false, retry: false, circuitBreaker } as const },
});

let fixture: ResilienceFixture;
afterEach(() => fixture.close());

const state = (): string => fixture.manager.breaker('p').state;
const call = <T>(work: () => Promise<T>): Promise<T> => fixture.manager.policy('p').execute(work);

/** A breaker that has opened and whose open time is over. */
async function halfOpen(): Promise<void> {
  fixture = new ResilienceFixture(policies(breaker));
  for (let i = 0; i < 2; i++) await call(failing).catch(() => undefined);
  await fixture.clock.advance(1_000);
}

describe('a window for fewer calls', () => {
  it.each([
    [60, 20, 0.6],
    [100, 10, 1],
    [8, 50, 0.08],
  ])(
    'keeps the share of failures: %i of 100 calls, in a window for %i',
    async (failures, windowCalls, failureRatio) => {
      const lenient = { minimumCalls: 100, failureRatio: 1, slowCallMs: 1, slowCallRatio: 1 };
      fixture = new ResilienceFixture(policies({ ...lenient, minimumCalls: 200, windowCalls: 200 }));
      for (let i = 0; i < 100; i++) await call(i < failures ? failing : async () => 1).catch(() => undefined);
      fixture.reload(policies({ ...lenient, minimumCalls: 1, windowCalls }));
      const snapshot = fixture.manager.breaker('p').snapshot();
      expect(snapshot).toMatchObject({ calls: windowCalls, failures: failureRatio * windowCalls, slowCalls: 0 });
    },
  );
});

describe('a half-open circuit breaker', () => {
  it('closes when new options ask for no more probes than have succeeded', async () => {
    await halfOpen();
    await call(async () => 'probe');
    expect(state()).toBe('half-open');
    fixture.reload(policies({ ...breaker, halfOpenCalls: 1 }));
    expect(state()).toBe('closed');
    await expect(call(async () => 'answer')).resolves.toBe('answer');
  });

  it('closes by probes that all take longer than a place is kept for them', async () => {
    await halfOpen();
    const probes: Promise<unknown>[] = [];
    for (let i = 0; i < 8; i++) {
      probes.push(call(() => fixture.clock.sleep(1_500)).catch(() => undefined));
      await fixture.clock.advance(250);
    }
    expect(state()).toBe('closed');
    await fixture.clock.advance(2_000);
    await Promise.all(probes);
  });

  it('opens again by a probe that fails after its place was given away', async () => {
    await halfOpen();
    const late = call(() => fixture.clock.sleep(1_500).then(failing)).catch(() => undefined);
    await fixture.clock.advance(1_100);
    await call(async () => 'probe');
    expect(state()).toBe('half-open');
    await fixture.clock.advance(400);
    await late;
    expect(state()).toBe('open');
  });
});
