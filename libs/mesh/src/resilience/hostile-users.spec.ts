import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deferred, failing, ResilienceFixture } from '../../../../test/resilience/resilience.fixture.js';
import type { CallOptions } from './call-hooks.js';

/* eslint-disable unicorn/no-thenable -- hostile thenables are the point */
const throws = (): never => {
  throw new Error('hostile');
};

/** Everything on, so that each trick meets every part. */
const EVERYTHING = {
  timeoutMs: 100,
  totalTimeoutMs: 1_000,
  retry: { maxRetries: 1, jitter: 'none' as const, delayMs: 10 },
  rateLimit: { limit: 1_000 },
  bulkhead: { maxConcurrent: 2, maxQueued: 2 },
  circuitBreaker: { minimumCalls: 1_000 },
};

describe('users who do what they should not', () => {
  let fixture: ResilienceFixture;
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown) => void unhandled.push(error);

  beforeEach(() => {
    fixture = new ResilienceFixture({ policies: { p: EVERYTHING } });
    process.on('unhandledRejection', onUnhandled);
  });
  afterEach(async () => {
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', onUnhandled);
    expect(unhandled.splice(0)).toEqual([]);
    await fixture.close();
  });

  /** Runs the call to its end, however long it waits, and says how it ended. */
  const run = async <T>(work: () => PromiseLike<T> | T, options: CallOptions<T> = {}) => {
    const end = fixture.manager
      .policy('p')
      .execute(work, options)
      .then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      );
    await fixture.clock.advance(2_000);
    return end;
  };

  it.each([
    [
      'settles twice',
      { then: (ok: (value: string) => void, no: (error: unknown) => void) => (ok('a'), ok('b'), no('c')) },
    ],
    ['settles, then throws', { then: (ok: (value: string) => void) => (ok('a'), throws()) }],
    ['settles at once', { then: (ok: (value: string) => void) => ok('a') }],
  ])('takes a thenable that %s', async (_, thenable) => {
    expect(await run(() => thenable as PromiseLike<string>)).toEqual({ value: 'a' });
  });

  it.each([
    ['throws in then', { then: throws }],
    [
      'throws when then is read',
      {
        get then(): never {
          return throws();
        },
      },
    ],
  ])('takes a thenable that %s', async (_, thenable) => {
    expect(await run(() => thenable as unknown as PromiseLike<string>)).toMatchObject({
      error: { message: 'hostile' },
    });
  });

  it('takes a promise whose class overrides then', async () => {
    class Hostile<T> extends Promise<T> {
      override then = throws;
    }
    expect(await run(() => new Hostile<string>(() => undefined))).toMatchObject({ error: { message: 'hostile' } });
  });

  it.each([undefined, null, 0, '', Symbol('thrown'), Object.freeze(new Error('frozen')), () => undefined])(
    'takes whatever is thrown: %s',
    async (thrown) => {
      const end = await run(
        () => {
          throw thrown;
        },
        { idempotent: true },
      );
      expect(end).toEqual({ error: thrown });
    },
  );

  it('takes an error whose properties throw when read', async () => {
    const error = new Proxy(new Error('proxy'), {
      get: (target, key) =>
        key === 'status' || key === 'code' || key === 'sent' ? throws() : Reflect.get(target, key),
    });
    const end = await run(() => Promise.reject(error), { idempotent: true });
    expect('error' in end && end.error).toBe(error);
    expect(fixture.eventsOf('policy.predicate-failed').length).toBeGreaterThan(0);
  });

  it('passes the error of a fallback on, and survives a predicate of it that throws', async () => {
    expect(await run(failing, { fallback: throws })).toMatchObject({ error: { message: 'hostile' } });
    expect(await run<string>(failing, { fallback: () => 'answer', fallbackWhen: throws })).toEqual({ value: 'answer' });
  });

  it('keeps going when the function starts another call of the same policy', async () => {
    const policy = fixture.manager.policy('p');
    expect(await run(() => policy.execute(async () => 'inner'))).toEqual({ value: 'inner' });
  });

  it('keeps going when a listener calls the policy, and when it changes the breaker', async () => {
    const { manager, events } = fixture;
    let answered: Promise<unknown> | undefined;
    events.on('call.retry', () => void (answered = manager.policy('p').execute(async () => 'from a listener')));
    events.on('breaker.transition', ({ to }) => {
      if (to === 'isolated') manager.breaker('p').release();
    });
    await run(failing, { idempotent: true });
    await expect(answered).resolves.toBe('from a listener');
    manager.breaker('p').isolate({ reason: 'test' });
    expect(manager.breaker('p').state).toBe('closed');
  });

  it('leaves nothing behind wherever the caller aborts', async () => {
    const policy = fixture.manager.policy('p');
    for (let turns = 0; turns < 40; turns++) {
      const controller = new AbortController();
      const blockers = [0, 1].map(() => deferred<void>());
      const running = blockers.slice(0, turns % 3).map((blocker) => policy.execute(() => blocker.promise));
      const call = policy
        .execute(
          async ({ attempt }) => {
            await Promise.resolve();
            await Promise.resolve();
            if (attempt === 1) throw new Error('first');
            return 'second';
          },
          { idempotent: true, signal: controller.signal },
        )
        .catch((error: unknown) => error);
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      if (turns % 2) await fixture.clock.advance(turns % 20);
      controller.abort();
      for (const blocker of blockers) blocker.resolve();
      await Promise.all(running);
      await fixture.clock.advance(200);
      const end = await call;
      expect(end === 'second' || (end as { code?: string }).code === 'MESH_CANCELLED').toBe(true);
      expect(fixture.manager.inFlight).toBe(0);
      expect(policy.bulkhead).toMatchObject({ running: 0, queued: 0 });
    }
  });

  it('takes no listener off a signal that it did not put there, and leaves none of its own', async () => {
    const controller = new AbortController();
    const added: unknown[] = [];
    const add = controller.signal.addEventListener.bind(controller.signal);
    const remove = controller.signal.removeEventListener.bind(controller.signal);
    controller.signal.addEventListener = (...args: Parameters<typeof add>) => (added.push(args[1]), add(...args));
    controller.signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      added.splice(added.indexOf(args[1]), 1);
      remove(...args);
    };
    await run(async () => 1, { signal: controller.signal });
    await run(failing, { signal: controller.signal, idempotent: true });
    await run(() => new Promise(() => undefined), { signal: controller.signal });
    expect(added).toEqual([]);
  });

  it('keeps the async contexts of concurrent calls apart', async () => {
    const requests = new AsyncLocalStorage<number>();
    const policy = fixture.manager.policy('p');
    const seen = await Promise.all(
      [1, 2, 3, 4].map((id) =>
        requests.run(id, async () => {
          const before = requests.getStore();
          const inside = policy.execute(
            async ({ attempt }) => {
              if (attempt === 1) throw new Error('again');
              return requests.getStore();
            },
            { idempotent: true },
          );
          if (id === 4) void fixture.clock.advance(500);
          return [before, await inside, requests.getStore()];
        }),
      ),
    );
    expect(seen).toEqual([1, 2, 3, 4].map((id) => [id, id, id]));
  });
});
