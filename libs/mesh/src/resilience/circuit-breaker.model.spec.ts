import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SystemIds } from '../core/ids.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { type BreakerSettings, CircuitBreaker, REFUSED } from './circuit-breaker.js';

const SETTINGS: BreakerSettings = {
  failureRatio: 0.5,
  minimumCalls: 3,
  windowMs: 1_000,
  windowCalls: false,
  openMs: 200,
  maxOpenMs: 800,
  openJitterRatio: 0,
  halfOpenCalls: 2,
  slowCallMs: 50,
  slowCallRatio: 0.7,
  leaseMs: 300,
};
const BUCKET_MS = 100;

interface Permit {
  readonly id: number;
  readonly era: number;
  readonly leaseEnds: number;
  readonly real: number;
}

/** The breaker as one would explain it: every call is remembered, everything is computed anew from the whole memory. */
class Reference {
  state: 'closed' | 'open' | 'half-open' | 'isolated' | 'disabled' = 'closed';
  era = 0;
  settings = SETTINGS;
  #calls: { at: number; failed: boolean; slow: boolean }[] = [];
  #probes = new Map<number, number>();
  #successes = 0;
  #openUntil = 0;
  #holdUntil = Infinity;
  #openings = 0;
  #closedAt = 0;

  look(now: number): void {
    if ((this.state === 'isolated' || this.state === 'disabled') && now >= this.#holdUntil) this.#close(now);
    if (this.state === 'open' && now >= this.#openUntil) this.#enter('half-open');
  }

  acquire(id: number, now: number): boolean {
    this.look(now);
    if (this.state === 'closed' || this.state === 'disabled') return true;
    if (this.state !== 'half-open') return false;
    const running = [...this.#probes.values()].filter((leaseEnds) => leaseEnds > now).length;
    if (running + this.#successes >= this.settings.halfOpenCalls) return false;
    this.#probes.set(id, now + this.settings.leaseMs);
    return true;
  }

  record({ id, era }: Permit, failed: boolean, durationMs: number, now: number): void {
    if (era !== this.era) return;
    const slow = durationMs > 50;
    if (this.state === 'closed' || this.state === 'disabled') {
      this.#calls.push({ at: now, failed, slow });
      if (this.state === 'closed' && (failed || slow)) this.#judge(now);
    } else if (this.#probes.delete(id)) {
      if (failed || slow) this.#open(now);
      else if (++this.#successes >= this.settings.halfOpenCalls) this.#close(now);
    }
  }

  forget({ id }: Permit): void {
    this.#probes.delete(id);
  }

  configure(changed: object, now: number): void {
    this.settings = { ...this.settings, ...changed };
    if (this.state === 'half-open' && this.#successes >= this.settings.halfOpenCalls) this.#close(now);
  }

  hold(state: 'isolated' | 'disabled', until: number): void {
    this.#holdUntil = until;
    this.#enter(state);
  }

  release(now: number): void {
    if (this.state === 'isolated' || this.state === 'disabled') this.#close(now);
  }

  trip(now: number): void {
    this.look(now);
    if (this.state !== 'open') this.#open(now);
  }

  reset(now: number): void {
    this.#openings = 0;
    if (this.state === 'closed') this.#calls = [];
    else this.#close(now);
  }

  /** Calls of the window: whole buckets are forgotten, the oldest as soon as a new one begins. */
  window(now: number): { at: number; failed: boolean; slow: boolean }[] {
    const first = (Math.floor(now / BUCKET_MS) - 9) * BUCKET_MS;
    return this.#calls.filter(({ at }) => at >= first);
  }

  #judge(now: number): void {
    const window = this.window(now);
    const bad = window.filter(({ failed }) => failed).length;
    const slow = window.filter((call) => call.slow).length;
    const { minimumCalls, failureRatio, slowCallRatio } = this.settings;
    if (window.length < minimumCalls) return;
    if (bad / window.length >= failureRatio || slow / window.length >= slowCallRatio) this.#open(now);
  }

  #open(now: number): void {
    if (this.state === 'closed' && now - this.#closedAt >= this.settings.windowMs) this.#openings = 0;
    this.#openUntil = now + Math.min(this.settings.maxOpenMs, this.settings.openMs * 2 ** this.#openings++);
    this.#enter('open');
  }

  #close(now: number): void {
    this.#closedAt = now;
    this.#calls = [];
    this.#enter('closed');
  }

  #enter(state: Reference['state']): void {
    this.state = state;
    this.era++;
    this.#probes.clear();
    this.#successes = 0;
  }
}

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('call' as const), failed: fc.boolean(), ms: fc.nat(60) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('begin' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('end' as const),
      which: fc.nat(20),
      outcome: fc.constantFrom('success' as const, 'failure' as const, 'neutral' as const),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(1_200) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('jump' as const), ms: fc.integer({ min: -1e9, max: 1e9 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('isolated' as const, 'disabled' as const),
      ttlMs: fc.option(fc.integer({ min: 1, max: 500 }), { nil: undefined }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('release' as const, 'reset' as const, 'trip' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('reload' as const),
      minimumCalls: fc.integer({ min: 1, max: 5 }),
      failureRatio: fc.constantFrom(0.25, 0.5, 1),
      halfOpenCalls: fc.integer({ min: 1, max: 3 }),
      openMs: fc.constantFrom(100, 200, 400),
    }),
  },
);

describe('CircuitBreaker, against a model', () => {
  it('is in the same state, with the same window, after any sequence of events', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 120, size: 'max' }), async (steps) => {
        const clock = new VirtualClock();
        const transitions: string[] = [];
        const host = {
          name: 'p',
          clock,
          ids: new SystemIds(),
          onTransition: (_: unknown, { from, to }: { from: string; to: string }) =>
            void transitions.push(`${from}>${to}`),
        };
        const breaker = new CircuitBreaker(host, SETTINGS);
        const model = new Reference();
        const open: Permit[] = [];
        let lastId = 0;
        let now = 0;

        const begin = (): Permit | undefined => {
          const id = ++lastId;
          const real = breaker.tryAcquire(now);
          expect(real !== REFUSED).toBe(model.acquire(id, now));
          return real === REFUSED ? undefined : { id, era: model.era, leaseEnds: now, real };
        };
        const end = (permit: Permit, failed: boolean, ms: number): void => {
          breaker.record(permit.real, failed, ms, now);
          model.record(permit, failed, ms, now);
        };

        for (const action of steps) {
          if (action.do === 'call') {
            const permit = begin();
            if (permit) end(permit, action.failed, action.ms);
          } else if (action.do === 'begin') {
            const permit = begin();
            if (permit) open.push(permit);
          } else if (action.do === 'end') {
            const [permit] = open.splice(action.which % Math.max(1, open.length), 1);
            if (permit && action.outcome !== 'neutral') end(permit, action.outcome === 'failure', 10);
            else if (permit) {
              breaker.forget(permit.real);
              model.forget(permit);
            }
          } else if (action.do === 'wait') {
            now += action.ms;
            await clock.advance(action.ms);
          } else if (action.do === 'jump') clock.jump(action.ms);
          else if (action.do === 'isolated' || action.do === 'disabled') {
            const ttl = action.ttlMs === undefined ? {} : { ttlMs: action.ttlMs };
            if (action.do === 'isolated') breaker.isolate({ reason: 'test', ...ttl });
            else breaker.disable({ reason: 'test', ...ttl });
            model.hold(action.do, now + (action.ttlMs ?? Infinity));
          } else if (action.do === 'release') {
            breaker.release();
            model.release(now);
          } else if (action.do === 'reset') {
            breaker.reset();
            model.reset(now);
          } else if (action.do === 'trip') {
            breaker.trip('test');
            model.trip(now);
          } else {
            const { do: _, ...changed } = action;
            model.configure(changed, now);
            breaker.configure(model.settings);
          }

          model.look(now);
          const snapshot = breaker.snapshot();
          const window = model.window(now);
          expect(snapshot.state).toBe(model.state);
          expect(snapshot).toMatchObject({
            calls: window.length,
            failures: window.filter(({ failed }) => failed).length,
            slowCalls: window.filter(({ slow }) => slow).length,
          });
          expect(transitions.length).toBe(model.era);
        }
        expect(clock.pendingTimers).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});
