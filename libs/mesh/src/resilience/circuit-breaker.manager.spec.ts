import { afterEach, describe, expect, it } from 'vitest';
import { failing, ResilienceFixture } from '../../../../test/resilience/resilience.fixture.js';

describe('CircuitBreakerManager', () => {
  let fixture: ResilienceFixture;
  afterEach(() => fixture.close());

  it('opens a breaker, refuses, probes and closes', async () => {
    fixture = new ResilienceFixture({ policies: { p: { retry: false, circuitBreaker: { minimumCalls: 4 } } } });
    const { manager, clock } = fixture;
    const policy = manager.policy('p');
    for (let i = 0; i < 4; i++) await expect(policy.execute(failing)).rejects.toThrow('down');
    await expect(policy.execute(failing)).rejects.toMatchObject({ code: 'MESH_CIRCUIT_OPEN', retryAfterMs: 5_000 });
    await clock.advance(5_000);
    for (let i = 0; i < 3; i++) await expect(policy.execute(async () => i)).resolves.toBe(i);
    expect(manager.breaker('p').state).toBe('closed');
    expect(manager.list()[0]).toMatchObject({ policy: 'p', calls: 0, openings: 1 });
  });
});
