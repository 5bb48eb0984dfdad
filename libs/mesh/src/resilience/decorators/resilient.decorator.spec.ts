import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CircuitOpenError } from '../resilience.errors.js';
import { failing, ResilienceFixture } from '../../../../../test/resilience/resilience.fixture.js';
import { applicationOf, failures, started } from '../../../../../test/resilience/decorated.fixture.js';
import { Fallback } from './fallback.decorator.js';
import { CircuitBreaker, Retry, Timeout } from './protection.decorators.js';
import { Resilient } from './resilient.decorator.js';

let fixture: ResilienceFixture;
beforeEach(() => {
  fixture = new ResilienceFixture({ policies: { payments: { retry: false, circuitBreaker: failures }, 'http:*': {} } });
});
afterEach(() => fixture.close());

describe('@Resilient', () => {
  it('refers to a policy of the configuration', async () => {
    class Payments {
      @Resilient('payments')
      async charge(): Promise<string> {
        return failing();
      }
    }
    const payments = await started(fixture, Payments);
    await expect(payments.charge()).rejects.toThrow('callee down');
    await expect(payments.charge()).rejects.toThrow('callee down');
    await expect(payments.charge()).rejects.toBeInstanceOf(CircuitOpenError);
  });

  it('says at the end of the boot that configuration repeats what the method declares not idempotent', async () => {
    fixture.close();
    fixture = new ResilienceFixture({ policies: { payments: { retry: { maxRetries: 3 } } } });
    class Payments {
      @Resilient('payments', { idempotent: false })
      async charge(): Promise<string> {
        return 'ok';
      }
    }
    await started(fixture, Payments);
    expect(() => fixture.manager.verify()).toThrow('Payments.charge declares not idempotent');
  });

  it('refers to a policy that a pattern matches', async () => {
    class Payments {
      @Resilient('http:payments')
      async charge(): Promise<string> {
        return 'ok';
      }
    }
    expect(await (await started(fixture, Payments)).charge()).toBe('ok');
  });

  it('refers to a policy that another class declares, whichever is bound first', async () => {
    class Referring {
      @Resilient('declared')
      async charge(): Promise<string> {
        return 'ok';
      }
    }
    class Declaring {
      @CircuitBreaker('declared', failures)
      async refund(): Promise<string> {
        return 'ok';
      }
    }
    for (const providers of [
      [Referring, Declaring],
      [Declaring, Referring],
    ]) {
      const own = new ResilienceFixture();
      const app = await applicationOf(own, { providers });
      expect(await app.get(Referring).charge()).toBe('ok');
      await own.close();
    }
  });

  it('is an error at boot when nothing matches its name', async () => {
    class Payments {
      @Resilient('paymnts')
      async charge(): Promise<string> {
        return '';
      }
    }
    await expect(started(fixture, Payments)).rejects.toThrow(/@Resilient on Payments\.charge: .*"paymnts".*payments/);
  });

  it('declares its policy with all defaults when it has options', async () => {
    class Payments {
      @Resilient('own', { timeoutMs: 700, fallback: 'later', idempotent: true })
      async charge(): Promise<string> {
        return failing();
      }

      protected async later(): Promise<string> {
        return 'later';
      }
    }
    const payments = await started(fixture, Payments);
    const result = payments.charge();
    await fixture.clock.advance(60_000);
    expect(await result).toBe('later');
    expect(fixture.manager.describePolicy('own').order).toBe(
      'total timeout 30000 ms -> retry 2x -> circuit breaker 50 % -> attempt timeout 700 ms -> function',
    );
  });

  it('takes what single decorators beside it say into its policy', async () => {
    class Payments {
      @Timeout(700)
      @Resilient('both', { bulkhead: { maxConcurrent: 3 } })
      async charge(): Promise<void> {}
    }
    await started(fixture, Payments);
    expect(fixture.manager.describePolicy('both').order).toBe(
      'total timeout 30000 ms -> retry 2x -> bulkhead 3 + 0 queued -> circuit breaker 50 % -> attempt timeout 700 ms -> function',
    );
  });

  describe('on a class', () => {
    @Resilient('payments', { idempotent: true })
    class Payments {
      @Resilient()
      async charge(): Promise<string> {
        return failing();
      }

      @Resilient('http:refunds')
      async refund(): Promise<string> {
        return 'ok';
      }

      @Timeout(300)
      async list(): Promise<void> {}

      async untouched(): Promise<string> {
        return failing();
      }
    }

    it('gives its policy to the decorated methods that name none', async () => {
      const payments = await started(fixture, Payments);
      await expect(payments.charge()).rejects.toThrow();
      await expect(payments.charge()).rejects.toThrow();
      await expect(payments.charge()).rejects.toBeInstanceOf(CircuitOpenError);
      expect(await payments.refund()).toBe('ok');
    });

    it('is what a method with protections of its own starts from', async () => {
      await started(fixture, Payments);
      const { values } = fixture.manager.describePolicy('Payments.list');
      const valueOf = (path: string): unknown => values.find((value) => value.path === path)?.value;
      expect([valueOf('timeoutMs'), valueOf('circuitBreaker.minimumCalls')]).toEqual([300, 2]);
    });

    it('wraps no undecorated method', async () => {
      const payments = await started(fixture, Payments);
      for (let i = 0; i < 5; i++) await expect(payments.untouched()).rejects.toThrow('callee down');
    });

    it('may take its policy from another decorator, or a pattern, and be started from all the same', async () => {
      @Resilient('declared')
      class Reading {
        @Timeout(300)
        async read(): Promise<void> {}
      }
      @Resilient('http:reading')
      class Fetching {
        @Timeout(300)
        async read(): Promise<void> {}
      }
      class Declaring {
        @CircuitBreaker('declared', { minimumCalls: 7 })
        async other(): Promise<void> {}
      }
      await applicationOf(fixture, { providers: [Reading, Fetching, Declaring] });
      const { manager } = fixture;
      expect(manager.describePolicy('Reading.read').order).toBe(
        'circuit breaker 50 % -> attempt timeout 300 ms -> function',
      );
      expect(manager.describePolicy('Fetching.read').order).toContain('attempt timeout 300 ms');
    });

    it('declares a policy that a method with protections of its own starts from', async () => {
      @Resilient({ circuitBreaker: { minimumCalls: 7 } })
      class Ledger {
        @Timeout(300)
        async read(): Promise<void> {}
      }
      await started(fixture, Ledger);
      const { values } = fixture.manager.describePolicy('Ledger.read');
      expect(values.find((value) => value.path === 'circuitBreaker.minimumCalls')?.value).toBe(7);
    });

    it('declares a policy of its own name when it has options and no name', async () => {
      @Resilient({ circuitBreaker: { minimumCalls: 7 } })
      class Ledger {
        @Resilient()
        async read(): Promise<void> {}
      }
      await started(fixture, Ledger);
      expect(fixture.manager.describePolicy('Ledger').origin).toBe('Ledger');
    });

    it('reaches the methods that a subclass inherits', async () => {
      class Local extends Payments {}
      const local = await started(fixture, Local);
      await expect(local.charge()).rejects.toThrow();
      await expect(local.charge()).rejects.toThrow();
      expect(fixture.manager.breaker('payments').state).toBe('open');
    });

    it('refuses a fallback', () => {
      const decorate = Resilient('payments', { fallback: 'later' }) as unknown as (type: object) => void;
      expect(() => decorate(class Ledger {})).toThrow('@Resilient on the class Ledger has a fallback');
    });
  });
});

describe('values that a decorator gives', () => {
  it('are checked at boot as those of the configuration are', async () => {
    class Wrong {
      @Timeout(-5)
      @Retry({ maxRetries: 0 })
      async run(): Promise<void> {}
    }
    await expect(started(fixture, Wrong)).rejects.toThrow(
      /^Policy "Wrong\.run", declared by Wrong\.run, is wrong: timeoutMs: .+; retry.*: .+\.$/,
    );
  });
});

describe('a generator', () => {
  it('is refused at boot, where a cast has hidden it from the compiler', async () => {
    class Pages {
      @(Retry() as MethodDecorator)
      async *all(): AsyncGenerator<number> {
        yield 1;
      }
    }
    await expect(started(fixture, Pages)).rejects.toThrow(
      "@Retry on Pages.all: a policy can't stand around a generator",
    );
  });
});

describe('decorators that contradict each other', () => {
  it('are an error where they stand', () => {
    expect(() => {
      class Twice {
        @Resilient('a')
        @CircuitBreaker('b')
        async run(): Promise<void> {}
      }
      return Twice;
    }).toThrow('@Resilient and @CircuitBreaker on Twice.run name different policies ("a" and "b")');
    expect(() => {
      class Twice {
        @Retry()
        @Resilient('a', { retry: { maxRetries: 1 } })
        async run(): Promise<void> {}
      }
      return Twice;
    }).toThrow('@Retry and @Resilient on Twice.run both set "retry"');
    expect(() => {
      class Twice {
        @Timeout(1)
        @Timeout(2)
        async run(): Promise<void> {}
      }
      return Twice;
    }).toThrow('@Timeout and @Timeout on Twice.run are the same decorator');
    expect(() => {
      class Twice {
        @Fallback(() => undefined)
        @Resilient('a', { fallback: () => undefined })
        async run(): Promise<void> {}
      }
      return Twice;
    }).toThrow('Twice.run has two fallbacks');
  });
});
