import { afterEach, describe, expect, it } from 'vitest';
import { failing, ResilienceFixture } from '../../../../test/resilience/resilience.fixture.js';

describe('what a policy tells of its calls', () => {
  let fixture: ResilienceFixture;
  afterEach(() => fixture.close());

  const events = () => fixture.manager.describePolicy('p').events;

  it('keeps of an error only what it was called then', async () => {
    fixture = new ResilienceFixture({ policies: { p: { retry: { maxRetries: 1, delayMs: 10 } } } });
    const error = Object.assign(new Error('refused'), { code: 'ECONNREFUSED', response: Buffer.alloc(1_000) });
    const call = fixture.manager.policy('p').execute(() => Promise.reject(error));
    await expect(Promise.all([call, fixture.clock.advance(100)])).rejects.toBe(error);
    error.message = 'changed';
    expect(events()).toMatchObject([{ name: 'call.retry' }]);
    expect(events()[0]!.event).toHaveProperty('error', { name: 'Error', code: 'ECONNREFUSED', message: 'refused' });
    expect(fixture.eventsOf('call.retry')[0]!.error).toBe(error);
  });

  it.each([[null], [undefined], ['text'], [Object.create(null)], [Symbol('thrown')]])(
    'takes what is thrown instead of an error: %o',
    async (thrown: unknown) => {
      fixture = new ResilienceFixture({ policies: { p: { retry: { maxRetries: 1, delayMs: 10 } } } });
      const options = { idempotent: true, fallback: () => 'stand-in' };
      const call = fixture.manager.policy('p').execute<string>(() => Promise.reject(thrown), options);
      await fixture.clock.advance(100);
      await expect(call).resolves.toBe('stand-in');
      expect(events().map(({ name }) => name)).toEqual(['call.retry', 'call.fallback']);
    },
  );

  it('tells of every refused call, by outcome, and of the last ones without waiting for another', async () => {
    const rateLimit = { limit: 8, intervalMs: 3_600_000 };
    fixture = new ResilienceFixture({ policies: { p: { rateLimit, circuitBreaker: { minimumCalls: 1 } } } });
    const policy = fixture.manager.policy('p');
    const refused = async (key: string) => expect(policy.execute(failing, { key })).rejects.toThrow();
    await fixture.contexts.run({ correlationId: 'request' }, async () => {
      for (const key of ['a', 'b', 'a', 'a', 'a', 'b', 'b', 'b']) await refused(key);
      for (let i = 0; i < 3; i++) await refused('a');
    });
    const correlated: unknown[] = [];
    fixture.events.on('call.rejected', () => void correlated.push(fixture.contexts.current()?.correlationId));
    expect(fixture.eventsOf('call.rejected')).toEqual([
      { policy: 'p', outcome: 'open', key: 'a', count: 1 },
      { policy: 'p', outcome: 'ratelimit', key: 'a', count: 1 },
    ]);
    await fixture.clock.advance(1_000);
    expect(fixture.eventsOf('call.rejected').slice(2)).toEqual([
      { policy: 'p', outcome: 'open', count: 5 },
      { policy: 'p', outcome: 'ratelimit', key: 'a', count: 2 },
    ]);
    expect(correlated).toEqual([undefined, undefined]);
  });
});
