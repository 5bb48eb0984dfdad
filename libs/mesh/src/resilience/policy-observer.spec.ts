import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { CountingMetrics, failing, ResilienceFixture } from '../../../../test/resilience/resilience.fixture.js';
import { fixedOptions } from '../core/live-options.js';
import { CircuitBreakerManager } from './circuit-breaker.manager.js';
import { resilienceSchema } from './resilience.options.js';

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

  it('lets calls alone when the metrics client throws, and warns of it once', async () => {
    class BrokenMetrics extends CountingMetrics {
      override counter = () => ({ with: (): never => gone() });
      override histogram = () => ({ with: () => ({ inc: gone, dec: gone, set: gone, observe: gone }) });
    }
    const gone = (): never => {
      throw new Error('socket is closed');
    };
    fixture = new ResilienceFixture();
    const { clock, ids, events: bus, contexts } = fixture;
    const options = resilienceSchema.parse({ policies: { p: { circuitBreaker: { minimumCalls: 1 } } } });
    const manager = new CircuitBreakerManager(fixedOptions(options), {
      clock,
      ids,
      contexts,
      events: bus,
      metrics: new BrokenMetrics(),
    });
    const warned = once(process, 'warning');
    const policy = manager.policy('p');
    await expect(policy.execute(async () => 'answer')).resolves.toBe('answer');
    await expect(policy.execute(failing)).rejects.toThrow('callee down');
    await expect(policy.execute(failing)).rejects.toMatchObject({ code: 'MESH_CIRCUIT_OPEN' });
    const [warning] = (await warned) as [Error];
    expect(warning.message).toMatch(/^The metrics client threw.*socket is closed/);
    manager.dispose();
  });
});
