import { isObservable, lastValueFrom, NEVER, Observable, of, throwError } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { started } from '../../../../../test/resilience/decorated.fixture.js';
import { ResilienceFixture } from '../../../../../test/resilience/resilience.fixture.js';
import { CircuitOpenError } from '../resilience.errors.js';
import { Fallback } from './fallback.decorator.js';
import { Bulkhead, CircuitBreaker, RateLimit, Retry, Timeout } from './protection.decorators.js';

type Decorate = (target: object, key: string, descriptor: PropertyDescriptor) => void;
type Body = (this: Service) => unknown;
interface Service {
  calls: number;
  run(): unknown;
}

/** In the fixed order, outermost first. */
const decorators: Readonly<Record<string, () => Decorate>> = {
  Fallback: () => Fallback(() => 'answer') as Decorate,
  Retry: () => Retry({ maxRetries: 1, delayMs: 10, idempotent: true }) as Decorate,
  RateLimit: () => RateLimit({ limit: 10, intervalMs: 1_000 }) as Decorate,
  Bulkhead: () => Bulkhead({ maxConcurrent: 5 }) as Decorate,
  CircuitBreaker: () => CircuitBreaker({ failureRatio: 1, minimumCalls: 2, openMs: 60_000 }) as Decorate,
  Timeout: () => Timeout(100) as Decorate,
};
const stageOf: Readonly<Record<string, string>> = {
  Retry: 'retry 1x',
  RateLimit: 'rate limit 10 per 1000 ms',
  Bulkhead: 'bulkhead 5 + 0 queued',
  CircuitBreaker: 'circuit breaker 100 %',
  Timeout: 'attempt timeout 100 ms',
};

const names = Object.keys(decorators);
const pairs = names.flatMap((outer, i) => names.slice(i + 1).map((inner) => [outer, inner] as const));

/** The kinds of methods: what they return, and whether the compiler wrote that down. */
const kinds = {
  'a Promise': { type: Promise, value: async () => 'value', failure: () => Promise.reject(new Error('callee down')) },
  'an undeclared Promise': {
    type: Object,
    value: () => Promise.resolve('value'),
    failure: () => Promise.reject(new Error('callee down')),
  },
  'an Observable': {
    type: Observable,
    value: () => of('value'),
    failure: () => throwError(() => new Error('callee down')),
  },
  'an undeclared Observable': {
    type: Object,
    value: () => of('value'),
    failure: () => throwError(() => new Error('callee down')),
  },
} as const;

/** A class whose method carries the decorators, listed from the top. */
function classWith(stack: readonly Decorate[], type: unknown, body: Body): new () => Service {
  class Decorated {
    calls = 0;
    run(): unknown {
      return undefined;
    }
  }
  const descriptor: PropertyDescriptor = {
    configurable: true,
    writable: true,
    value: {
      run(this: Service): unknown {
        this.calls++;
        return body.call(this);
      },
    }.run,
  };
  Reflect.defineMetadata('design:returntype', type, Decorated.prototype, 'run');
  for (const decorate of stack.toReversed()) decorate(Decorated.prototype, 'run', descriptor);
  Object.defineProperty(Decorated.prototype, 'run', descriptor);
  return Decorated;
}

let fixture: ResilienceFixture;
beforeEach(() => void (fixture = new ResilienceFixture()));
afterEach(() => fixture.close());

/** What a call ends with, whichever kind it is. */
async function outcome(result: unknown): Promise<unknown> {
  const promise = isObservable(result) ? lastValueFrom(result) : (result as Promise<unknown>);
  const settled = promise.catch((error: unknown) => error);
  await fixture.clock.advance(5_000);
  return settled;
}

const messageOf = (value: unknown): unknown => (value instanceof Error ? value.message : value);

describe.each(pairs)('@%s with @%s', (outer, inner) => {
  const stacks = [
    [outer, inner],
    [inner, outer],
  ].map((stack) => stack.map((name) => decorators[name]!()));

  it('composes in the fixed order however they are stacked', async () => {
    const stages = [outer, inner].flatMap((name) => stageOf[name] ?? []);
    for (const stack of stacks) {
      const own = new ResilienceFixture();
      await started(
        own,
        classWith(stack, Promise, async () => 'value'),
      );
      expect(own.manager.describePolicy('Decorated.run').order).toBe([...stages, 'function'].join(' -> '));
      await own.close();
    }
  });

  describe.each(Object.entries(kinds))('on a method that returns %s', (_name, { type, value, failure }) => {
    it('gives back that kind and its value', async () => {
      for (const stack of stacks) {
        const own = new ResilienceFixture();
        const service = await started(own, classWith(stack, type, value));
        const results = [service.run(), service.run()];
        const isStream = isObservable(value());
        expect(results.map((result) => (isObservable(result) ? 'stream' : result instanceof Promise))).toEqual(
          Array(2).fill(isStream ? 'stream' : true),
        );
        for (const result of results)
          expect(await (isObservable(result) ? lastValueFrom(result) : result)).toBe('value');
        await own.close();
      }
    });

    it('fails as the method fails, after its retries, or answers by its fallback', async () => {
      for (const stack of stacks) {
        const service = await started(fixture, classWith(stack, type, failure));
        const calls = [outer, inner].includes('Retry') ? 2 : 1;
        const answer = outer === 'Fallback' ? 'answer' : 'callee down';
        expect(messageOf(await outcome(service.run()))).toBe(answer);
        // An undeclared Observable is made once to find out, and that one is used.
        expect(service.calls).toBe(calls);
        await fixture.close();
        fixture = new ResilienceFixture();
      }
    });
  });
});

describe('what pairs of decorators do together', () => {
  const stack = (...which: string[]): Decorate[] => which.map((name) => decorators[name]!());
  const never = (): Promise<never> => new Promise(() => undefined);

  it('records every attempt of a retried call in the breaker', async () => {
    const service = await started(
      fixture,
      classWith(stack('Retry', 'CircuitBreaker'), Promise, kinds['a Promise'].failure),
    );
    await outcome(service.run());
    expect(await outcome(service.run())).toBeInstanceOf(CircuitOpenError);
    expect(service.calls).toBe(2);
  });

  it.each([
    ['a Promise', Promise, never],
    ['an Observable', Observable, () => NEVER],
  ])('retries %s that timed out, and counts each timeout as a failure', async (_name, type, body) => {
    const service = await started(
      fixture,
      classWith(stack('Retry', 'CircuitBreaker', 'Timeout'), type, body as () => unknown),
    );
    expect(await outcome(service.run())).toMatchObject({ code: 'MESH_ATTEMPT_TIMEOUT' });
    expect([service.calls, fixture.manager.breaker('Decorated.run').state]).toEqual([2, 'open']);
  });

  it('takes a token for each attempt of a retried call', async () => {
    const limited = RateLimit({ limit: 1, intervalMs: 60_000 }) as Decorate;
    const service = await started(
      fixture,
      classWith([...stack('Retry'), limited], Promise, kinds['a Promise'].failure),
    );
    expect(await outcome(service.run())).toMatchObject({ code: 'MESH_RATE_LIMITED' });
    expect(service.calls).toBe(1);
  });

  it('does not count a refusal of the bulkhead against the breaker', async () => {
    const narrow = Bulkhead({ maxConcurrent: 1 }) as Decorate;
    let finish!: (value: string) => void;
    const service = await started(
      fixture,
      classWith([narrow, ...stack('CircuitBreaker')], Promise, () => new Promise((resolve) => (finish = resolve))),
    );
    const held = service.run();
    for (let i = 0; i < 5; i++) expect(await outcome(service.run())).toMatchObject({ code: 'MESH_BULKHEAD_FULL' });
    finish('value');
    expect(await held).toBe('value');
    expect(fixture.manager.breaker('Decorated.run').snapshot()).toMatchObject({ state: 'closed', failures: 0 });
  });

  it('serves a caller of an undeclared Observable even when its first call is refused', async () => {
    const service = await started(fixture, classWith(stack('CircuitBreaker'), Object, kinds['an Observable'].value));
    fixture.manager.breaker('Decorated.run').isolate({ reason: 'maintenance' });
    const refused = service.run() as Observable<unknown> & Promise<unknown>;
    await expect(lastValueFrom(refused)).rejects.toMatchObject({ code: 'MESH_CIRCUIT_ISOLATED' });
    await expect(refused).rejects.toMatchObject({ code: 'MESH_CIRCUIT_ISOLATED' });
    fixture.manager.breaker('Decorated.run').release();
    expect(await lastValueFrom(service.run() as Observable<unknown>)).toBe('value');
  });
});
