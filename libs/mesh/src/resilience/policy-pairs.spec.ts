import { lastValueFrom, NEVER, of, throwError } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { failing, ResilienceFixture } from '../../../../test/resilience/resilience.fixture.js';
import { observeThrough } from './observable-call.js';
import type { PolicyOptions } from './resilience.options.js';
import type { ResiliencePolicy } from './resilience-policy.js';

/** In the fixed order, outermost first. */
const protections = {
  totalTimeoutMs: { totalTimeoutMs: 1_000 },
  retry: { retry: { maxRetries: 1, delayMs: 10, jitter: 'none' } },
  hedge: { hedge: { delayMs: 20 } },
  rateLimit: { rateLimit: { limit: 2, intervalMs: 60_000 } },
  bulkhead: { bulkhead: { maxConcurrent: 1 } },
  circuitBreaker: { circuitBreaker: { minimumCalls: 2, failureRatio: 1, openMs: 60_000 } },
  timeoutMs: { timeoutMs: 100 },
} as const satisfies Record<string, PolicyOptions>;

type Name = keyof typeof protections;
const names = Object.keys(protections) as Name[];
const pairs = names.flatMap((outer, i) => names.slice(i + 1).map((inner) => [outer, inner] as const));
const impossible = new Set(['retry hedge']);

const off = {
  totalTimeoutMs: false,
  retry: false,
  hedge: false,
  rateLimit: false,
  bulkhead: false,
  circuitBreaker: false,
  timeoutMs: false,
} as const;

/** One call through the policy, of work that succeeds, fails, or never ends. */
const kinds = {
  'a Promise': {
    well: (policy: ResiliencePolicy) => policy.execute(async () => 1, { idempotent: true }),
    failing: (policy: ResiliencePolicy) => policy.execute(failing, { idempotent: true }),
    hanging: (policy: ResiliencePolicy, signal: AbortSignal) =>
      policy.execute(() => new Promise<number>(() => undefined), { idempotent: true, signal }),
  },
  'an Observable': {
    well: (policy: ResiliencePolicy) => lastValueFrom(observeThrough(policy, () => of(1), { idempotent: true })),
    failing: (policy: ResiliencePolicy) =>
      lastValueFrom(observeThrough(policy, () => throwError(() => new Error('callee down')), { idempotent: true })),
    hanging: (policy: ResiliencePolicy, signal: AbortSignal) =>
      lastValueFrom(observeThrough(policy, () => NEVER, { idempotent: true, signal })),
  },
};

describe.each(Object.entries(kinds))('two protections around %s', (kind, calls) => {
  let fixture: ResilienceFixture;
  afterEach(() => fixture?.close());

  const policyOf = (...pair: readonly Name[]): ResiliencePolicy => {
    const options: PolicyOptions = Object.assign({}, off, ...pair.map((name) => protections[name]));
    fixture = new ResilienceFixture({ policies: { p: options } });
    return fixture.manager.policy('p');
  };
  const codeOf = (error: unknown): string => (error as { code?: string }).code ?? (error as Error).message;

  it.each(pairs.filter((pair) => !impossible.has(pair.join(' '))))('work as one: %s, %s', async (...pair) => {
    const has = (name: Name): boolean => pair.includes(name);
    const policy = policyOf(...pair);
    const settle = async (call: Promise<unknown>, ms = 5_000): Promise<unknown> => {
      const outcome = call.then((value) => value, codeOf);
      await fixture.clock.advance(ms);
      return outcome;
    };

    // The attempts that a failing call makes use up two tokens, or two failures, only if it is repeated.
    expect(await settle(calls.well(policy))).toBe(1);
    const second = await settle(calls.failing(policy));
    const tokensGone = has('rateLimit') && has('retry');
    expect(second).toBe(tokensGone ? 'MESH_RATE_LIMITED' : 'callee down');
    expect(fixture.manager.inFlight).toBe(0);

    // A call that hangs is ended by the first limit there is, else by its caller; nothing of it stays behind.
    if (has('rateLimit')) await fixture.clock.advance(60_000);
    const caller = new AbortController();
    const hanging = calls.hanging(policy, caller.signal).then((value) => value, codeOf);
    await fixture.clock.advance(5_000);
    caller.abort(new Error('gave up'));
    await fixture.clock.advance(0);
    const limit = has('timeoutMs') ? 'MESH_ATTEMPT_TIMEOUT' : has('totalTimeoutMs') ? 'MESH_DEADLINE_EXCEEDED' : '';
    expect(await hanging).toBe(limit || 'MESH_CANCELLED');
    if (kind === 'an Observable') expect(fixture.manager.inFlight).toBe(0);
  });

  it.each(names)('refuses what cannot work: retry and hedge, not %s alone', (name) => {
    expect(() => policyOf(name)).not.toThrow();
    expect(() => policyOf('retry', 'hedge')).toThrow('both repeat the call');
  });
});
