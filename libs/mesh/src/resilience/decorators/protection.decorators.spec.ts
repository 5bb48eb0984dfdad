import { Injectable, Scope } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MeshRuntime } from '../../core/mesh-runtime.js';
import { attachRuntime } from '../../core/method-advice.js';
import { callSignal } from '../call-signal.js';
import { CircuitBreakerManager } from '../circuit-breaker.manager.js';
import { CircuitOpenError } from '../resilience.errors.js';
import { deferred, failing, ResilienceFixture } from '../../../../../test/resilience/resilience.fixture.js';
import { applicationOf, failures, started } from '../../../../../test/resilience/decorated.fixture.js';
import { Fallback } from './fallback.decorator.js';
import { Bulkhead, CircuitBreaker, RateLimit, Retry, Timeout } from './protection.decorators.js';

let fixture: ResilienceFixture;
beforeEach(() => {
  fixture = new ResilienceFixture();
});
afterEach(() => fixture.close());

describe('@CircuitBreaker', () => {
  class Payments {
    calls = 0;

    @CircuitBreaker('charges', failures)
    async charge(): Promise<string> {
      this.calls++;
      return failing();
    }

    @CircuitBreaker(failures)
    async refund(): Promise<string> {
      this.calls++;
      return failing();
    }
  }

  it('works alone: opens after failures and then refuses without calling the method', async () => {
    const payments = await started(fixture, Payments);
    await expect(payments.charge()).rejects.toThrow('callee down');
    await expect(payments.charge()).rejects.toThrow('callee down');
    await expect(payments.charge()).rejects.toBeInstanceOf(CircuitOpenError);
    expect([payments.calls, fixture.manager.breaker('charges').state]).toEqual([2, 'open']);
  });

  it('adds nothing but itself', async () => {
    await started(fixture, Payments);
    expect(fixture.manager.describePolicy('charges').order).toBe('circuit breaker 50 % -> function');
  });

  it('names its policy after the class and the method when it has no name', async () => {
    await started(fixture, Payments);
    expect(fixture.manager.describePolicy('Payments.refund').origin).toBe('Payments.refund');
  });

  it('shares one breaker among the methods that name it', async () => {
    class Shared {
      @CircuitBreaker('shared', failures)
      one(): Promise<void> {
        return failing();
      }

      @CircuitBreaker('shared', failures)
      async two(): Promise<void> {}
    }
    const shared = await started(fixture, Shared);
    await expect(shared.one()).rejects.toThrow('callee down');
    await expect(shared.one()).rejects.toThrow('callee down');
    await expect(shared.two()).rejects.toBeInstanceOf(CircuitOpenError);
  });

  it('keeps one breaker a key', async () => {
    class Tenants {
      @CircuitBreaker('tenants', { ...failures, key: (tenant: string) => tenant })
      async load(tenant: string): Promise<string> {
        return tenant === 'bad' ? failing() : tenant;
      }
    }
    const tenants = await started(fixture, Tenants);
    await expect(tenants.load('bad')).rejects.toThrow('callee down');
    await expect(tenants.load('bad')).rejects.toThrow('callee down');
    await expect(tenants.load('bad')).rejects.toBeInstanceOf(CircuitOpenError);
    await expect(tenants.load('good')).resolves.toBe('good');
  });

  it('rejects, and never throws, when the key cannot be made', async () => {
    class Tenants {
      @CircuitBreaker('tenants', { key: (tenant: { id: string }) => tenant.id })
      async load(_tenant: { id: string }): Promise<void> {}

      @CircuitBreaker('tenants', { key: (tenant: { id: string }) => tenant.id })
      undeclared(_tenant: { id: string }) {
        return Promise.resolve();
      }
    }
    const tenants = await started(fixture, Tenants);
    const nobody = undefined as unknown as { id: string };
    await expect(tenants.load(nobody)).rejects.toBeInstanceOf(TypeError);
    await expect(tenants.undeclared(nobody)).rejects.toBeInstanceOf(TypeError);
  });

  it('yields to the configuration of its name', async () => {
    const configured = new ResilienceFixture({ policies: { charges: { circuitBreaker: { minimumCalls: 1 } } } });
    const payments = await started(configured, Payments);
    await expect(payments.charge()).rejects.toThrow('callee down');
    await expect(payments.charge()).rejects.toBeInstanceOf(CircuitOpenError);
    await configured.close();
  });

  it('counts as failure only what its predicate says', async () => {
    class Picky {
      @CircuitBreaker('picky', { ...failures, isFailure: (error) => error instanceof TypeError })
      fail(error: Error): Promise<void> {
        return Promise.reject(error);
      }
    }
    const picky = await started(fixture, Picky);
    for (let i = 0; i < 5; i++) await expect(picky.fail(new RangeError())).rejects.toBeInstanceOf(RangeError);
    expect(fixture.manager.breaker('picky').state).toBe('closed');
  });
});

describe('@Retry', () => {
  class Flaky {
    calls = 0;

    @Retry({ maxRetries: 2, delayMs: 10, idempotent: true })
    async safe(): Promise<string> {
      return ++this.calls < 3 ? failing() : 'done';
    }

    @Retry({ maxRetries: 2, delayMs: 10 })
    async unsafe(): Promise<string> {
      this.calls++;
      return failing();
    }

    @Retry({ maxRetries: 2, delayMs: 10 })
    async unsent(): Promise<string> {
      if (++this.calls < 3) throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
      return 'done';
    }
  }

  it('repeats an idempotent method', async () => {
    const flaky = await started(fixture, Flaky);
    const result = flaky.safe();
    await fixture.clock.advance(1_000);
    expect([await result, flaky.calls]).toEqual(['done', 3]);
  });

  it('does not repeat a method that may have had an effect', async () => {
    const flaky = await started(fixture, Flaky);
    await expect(flaky.unsafe()).rejects.toThrow('callee down');
    expect(flaky.calls).toBe(1);
  });

  it('repeats any method whose call was never sent', async () => {
    const flaky = await started(fixture, Flaky);
    const result = flaky.unsent();
    await fixture.clock.advance(1_000);
    expect(await result).toBe('done');
  });
});

describe('@Timeout', () => {
  it('gives up on an attempt and aborts the signal that the method took', async () => {
    let signal: AbortSignal | undefined;
    class Slow {
      @Timeout(200)
      work(): Promise<void> {
        signal = callSignal();
        return new Promise((_resolve, reject) => signal!.addEventListener('abort', () => reject(signal!.reason)));
      }
    }
    const slow = await started(fixture, Slow);
    const result = expect(slow.work()).rejects.toMatchObject({ code: 'MESH_ATTEMPT_TIMEOUT' });
    await fixture.clock.advance(200);
    await result;
    expect(signal?.aborted).toBe(true);
  });

  it('limits the whole call too', async () => {
    class Slow {
      @Timeout({ totalTimeoutMs: 300 })
      work(): Promise<void> {
        const { signal, promise } = { signal: callSignal(), promise: deferred<void>() };
        signal.addEventListener('abort', () => promise.resolve());
        return promise.promise;
      }
    }
    const result = expect((await started(fixture, Slow)).work()).rejects.toMatchObject({
      code: 'MESH_DEADLINE_EXCEEDED',
    });
    await fixture.clock.advance(300);
    await result;
  });
});

describe('@Bulkhead and @RateLimit', () => {
  it('limit all methods that name the policy together', async () => {
    const slot = deferred<void>();
    class Pool {
      @Bulkhead('pool', { maxConcurrent: 1 })
      hold(): Promise<void> {
        return slot.promise;
      }

      @Bulkhead('pool', { maxConcurrent: 1 })
      async other(): Promise<void> {}
    }
    const pool = await started(fixture, Pool);
    const held = pool.hold();
    await expect(pool.other()).rejects.toMatchObject({ code: 'MESH_BULKHEAD_FULL' });
    slot.resolve();
    await held;
    await expect(pool.other()).resolves.toBeUndefined();
  });

  it('refuse what is over the rate', async () => {
    class Limited {
      @RateLimit({ limit: 1, intervalMs: 1_000 })
      async send(): Promise<void> {}
    }
    const limited = await started(fixture, Limited);
    await limited.send();
    await expect(limited.send()).rejects.toMatchObject({ code: 'MESH_RATE_LIMITED' });
  });
});

describe('@Fallback', () => {
  class Answering {
    readonly prefix: string = 'later';
    seen: unknown;

    @Fallback('later')
    async byName(_id: number, fail: () => Promise<string> = failing): Promise<string> {
      return fail();
    }

    async later(id: number): Promise<string> {
      return `${this.prefix} ${id}`;
    }

    @Fallback(function (this: Answering, error: unknown, id: number) {
      return `${this.prefix} ${id} ${(error as Error).message}`;
    })
    async byFunction(_id: number): Promise<string> {
      return failing();
    }

    @Fallback(() => Promise.reject(new Error('no cache either')))
    async down(): Promise<string> {
      return failing();
    }

    @Fallback(() => 'answered', { when: (error) => error instanceof TypeError })
    async picky(error: Error): Promise<string> {
      throw error;
    }

    @CircuitBreaker('answered', failures)
    @Fallback(() => 'answered')
    async counted(): Promise<string> {
      return failing();
    }
  }

  it('answers with the named method, called with the same arguments on the same object', async () => {
    expect(await (await started(fixture, Answering)).byName(7)).toBe('later 7');
  });

  it("answers with a subclass's version of the named method", async () => {
    class Local extends Answering {
      override async later(): Promise<string> {
        return 'local';
      }
    }
    expect(await (await started(fixture, Local)).byName(7)).toBe('local');
  });

  it('answers with a function that is told the error and the arguments', async () => {
    expect(await (await started(fixture, Answering)).byFunction(7)).toBe('later 7 callee down');
  });

  it('stays silent when the method succeeds', async () => {
    expect(await (await started(fixture, Answering)).byName(7, async () => 'now')).toBe('now');
  });

  it('lets its own failure be the answer', async () => {
    await expect((await started(fixture, Answering)).down()).rejects.toThrow('no cache either');
  });

  it('answers only the errors that its predicate names', async () => {
    const answering = await started(fixture, Answering);
    await expect(answering.picky(new TypeError())).resolves.toBe('answered');
    await expect(answering.picky(new RangeError('no'))).rejects.toThrow('no');
  });

  it('hides no failure from the breaker, answers for the open circuit, and is counted', async () => {
    const answering = await started(fixture, Answering);
    for (let i = 0; i < 3; i++) expect(await answering.counted()).toBe('answered');
    expect(fixture.manager.breaker('answered').state).toBe('open');
    expect(fixture.metrics.value('mesh_calls_total', { policy: 'answered', outcome: 'fallback' })).toBe(3);
  });

  it('is an error at boot when the named method does not exist', async () => {
    class Missing {
      @Fallback('latter' as string)
      async charge(): Promise<string> {
        return '';
      }
    }
    await expect(started(fixture, Missing)).rejects.toThrow(
      'The fallback "latter" of Missing.charge is not a method of Missing; add it or correct the name.',
    );
  });
});

describe('a decorated provider', () => {
  class Counter {
    calls = 0;

    @CircuitBreaker('counter', failures)
    async next(): Promise<number> {
      return ++this.calls;
    }
  }

  it('keeps its own this when it is request-scoped, and shares the breaker', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest extends Counter {}
    const app = await applicationOf(fixture, { providers: [PerRequest] });
    const [one, two] = [await app.resolve(PerRequest), await app.resolve(PerRequest)];
    expect([await one.next(), await one.next(), await two.next()]).toEqual([1, 2, 1]);
    expect(fixture.manager.breaker('counter').snapshot().calls).toBe(3);
  });

  it('is protected when a factory made it', async () => {
    const app = await applicationOf(fixture, { providers: [{ provide: 'COUNTER', useFactory: () => new Counter() }] });
    await app.get<Counter>('COUNTER').next();
    expect(fixture.manager.breaker('counter').snapshot().calls).toBe(1);
  });

  it('is bound once, not at every call', async () => {
    const runtime = new MeshRuntime();
    runtime.provide(CircuitBreakerManager, fixture.manager);
    let asked = 0;
    const get = runtime.get.bind(runtime);
    runtime.get = (token) => (asked++, get(token));
    const counter = new Counter();
    attachRuntime(counter, runtime);
    await counter.next();
    const atBind = asked;
    await counter.next();
    expect(asked).toBe(atBind);
  });

  it('meets only its own application when two run in one process', async () => {
    const other = new ResilienceFixture();
    const [here, there] = [await started(fixture, Counter), await started(other, Counter)];
    await here.next();
    await here.next();
    await there.next();
    expect([
      fixture.manager.breaker('counter').snapshot().calls,
      other.manager.breaker('counter').snapshot().calls,
    ]).toEqual([2, 1]);
    await other.close();
  });
});
