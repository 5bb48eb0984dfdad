import { afterEach, describe, expect, it } from 'vitest';
import { deferred, failing, ResilienceFixture } from '../../../../test/resilience/resilience.fixture.js';
import type { PolicyOptions } from './resilience.options.js';

describe('the shutdown, for calls that are under way', () => {
  let fixture: ResilienceFixture;
  afterEach(() => fixture.close());

  const policyWith = (options: PolicyOptions = {}) => {
    fixture = new ResilienceFixture({ policies: { p: options } });
    return fixture.manager.policy('p');
  };
  const outcomes = (outcome: string) => fixture.metrics.value('mesh_calls_total', { policy: 'p', outcome });
  const stop = () => fixture.manager.stop({ deadlineAt: fixture.clock.now() + 1_000 });

  it('lets a call finish that has not been hedged yet, and hedges it no more', async () => {
    const policy = policyWith({ hedge: { delayMs: 50 } });
    const gate = deferred<string>();
    const call = policy.execute(() => gate.promise, { idempotent: true });
    const stopped = stop();
    await fixture.clock.advance(100);
    gate.resolve('done');
    await expect(call).resolves.toBe('done');
    await stopped;
    expect([fixture.eventsOf('call.hedge'), outcomes('success')]).toEqual([[], 1]);
  });

  it('begins no hedge when the time to drain is over', async () => {
    const policy = policyWith({ hedge: { delayMs: 50 } });
    let attempts = 0;
    const call = policy.execute(() => (attempts++, new Promise(() => undefined)), { idempotent: true });
    await fixture.manager.drain({ signal: AbortSignal.abort() });
    await expect(call).rejects.toMatchObject({ code: 'MESH_DRAINING' });
    expect([attempts, outcomes('draining')]).toEqual([1, 1]);
  });

  it('counts a call that it ends between two attempts', async () => {
    const policy = policyWith({ retry: { delayMs: 100, jitter: 'none' } });
    const call = expect(policy.execute(failing, { idempotent: true })).rejects.toMatchObject({ code: 'MESH_DRAINING' });
    await fixture.clock.advance(10);
    await stop();
    await call;
    expect([outcomes('draining'), outcomes('failure')]).toEqual([1, 0]);
  });

  it('ends a drain also when the stop does not wait for it', async () => {
    const gate = deferred<string>();
    const call = policyWith().execute(() => gate.promise);
    const ended: string[] = [];
    const drained = fixture.manager.drain({ signal: new AbortController().signal }).then(() => ended.push('drain'));
    const stopped = stop().then(() => ended.push('stop'));
    gate.resolve('done');
    await call;
    await stopped;
    await fixture.clock.advance(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(ended.sort()).toEqual(['drain', 'stop']);
    await drained;
  });
});
