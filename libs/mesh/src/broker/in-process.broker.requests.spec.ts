import { of, Subject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { DrainingError } from '../core/mesh.errors.js';
import type { RequestMessage } from '../core/broker.port.js';
import { brokerFixture, watch } from '../../../../test/broker/broker.fixture.js';
import { NoResponderError, OverloadedError, PayloadError, RequestTimeoutError } from './broker.errors.js';

describe('a request', () => {
  it("resolves with the handler's answer", async () => {
    const { broker } = brokerFixture();
    broker.serve('sum', ({ a, b }: { a: number; b: number }) => a + b);
    await expect(broker.request('sum', { a: 2, b: 3 })).resolves.toBe(5);
  });

  it('resolves undefined when the handler answers nothing', async () => {
    const { broker } = brokerFixture();
    broker.serve('touch', async () => undefined);
    await expect(broker.request('touch')).resolves.toBeUndefined();
  });

  it('finds the handler of an object pattern whatever the order of its keys', async () => {
    const { broker } = brokerFixture();
    broker.serve({ cmd: 'sum', v: 1 }, () => 'found');
    await expect(broker.request({ v: 1, cmd: 'sum' })).resolves.toBe('found');
  });

  it('resolves with the last value of an Observable', async () => {
    const { broker } = brokerFixture();
    broker.serve('stream', async () => of(1, 2, 3));
    await expect(broker.request('stream')).resolves.toBe(3);
  });

  it('passes the payload by reference', async () => {
    const { broker } = brokerFixture();
    broker.serve('same', (payload: object) => payload);
    const payload = { when: new Date(), bytes: Buffer.from('x') };
    expect(await broker.request('same', payload)).toBe(payload);
  });

  it.each([
    [
      'throws',
      () => {
        throw new RangeError('no');
      },
    ],
    [
      'rejects',
      async () => {
        throw new RangeError('no');
      },
    ],
  ])("rejects with the handler's own error when it %s", async (_how, handler) => {
    const { broker } = brokerFixture();
    broker.serve('fail', handler);
    await expect(broker.request('fail')).rejects.toThrow(RangeError);
  });

  it('says which patterns nobody served when they were waited for', async () => {
    const { broker, clock } = brokerFixture();
    broker.serve('there', () => 1);
    const waiting = watch(broker.waitFor(['stock.reserve', 'there', 'stock.release'], { timeoutMs: 50 }));
    await clock.advance(50);
    expect((waiting.outcome as Error).message).toBe(
      `"stock.reserve", "stock.release" did not answer within 50 ms; start the service that has the handler, or check the spelling.`,
    );
  });

  it('is refused at once when nobody answers the pattern', async () => {
    const { broker, clock, metrics } = brokerFixture();
    await expect(broker.request('nobody')).rejects.toThrow(NoResponderError);
    expect(clock.pendingTimers).toBe(0);
    expect(metrics.read('mesh_messages_total{topic="(unserved)",direction="request",outcome="no-responder"}')).toBe(1);
  });

  it('rejects a pattern that is neither a string nor an object', async () => {
    const { broker } = brokerFixture();
    await expect(broker.request(Symbol('x') as never)).rejects.toThrow(PayloadError);
  });

  it('refuses a second handler of a pattern, naming both', () => {
    const { broker } = brokerFixture();
    broker.serve('sum', () => 1, { name: 'Sums.a' });
    expect(() => broker.serve('sum', () => 2, { name: 'Sums.b' })).toThrow(/Sums\.a and by Sums\.b/);
  });
});

describe('the time of a request', () => {
  it('is over after 5 s by default', async () => {
    const { broker, clock } = brokerFixture();
    broker.serve('slow', () => new Promise(() => undefined));
    const request = watch(broker.request('slow'));
    await clock.advance(4_999);
    expect(request.state).toBe('pending');
    await clock.advance(20);
    expect(request.outcome).toBeInstanceOf(RequestTimeoutError);
  });

  it('ends with the inherited deadline when that comes first', async () => {
    const { broker, clock, contexts } = brokerFixture();
    broker.serve('slow', () => new Promise(() => undefined));
    const context = { correlationId: 'c', deadlineAt: clock.now() + 100 };
    const request = watch(contexts.run(context, () => broker.request('slow')));
    await clock.advance(120);
    expect(request.outcome).toBeInstanceOf(RequestTimeoutError);
  });

  it('never begins when the inherited deadline has passed', async () => {
    const { broker, clock, contexts } = brokerFixture();
    let ran = false;
    broker.serve('late', () => {
      ran = true;
    });
    const context = { correlationId: 'c', deadlineAt: clock.now() };
    await expect(contexts.run(context, () => broker.request('late'))).rejects.toThrow(RequestTimeoutError);
    expect(ran).toBe(false);
  });

  it('shares one timer among many requests and leaves none when all are answered', async () => {
    const { broker, clock } = brokerFixture();
    const gate = Promise.withResolvers<void>();
    broker.serve('wait', () => gate.promise);
    const requests = Array.from({ length: 1_000 }, () => broker.request('wait'));
    expect(clock.pendingTimers).toBe(1);
    gate.resolve();
    await Promise.all(requests);
    await clock.advance(1_000);
    expect(clock.pendingTimers).toBe(0);
  });

  it('tells the handler through its signal, made late or early', async () => {
    const { broker, clock } = brokerFixture();
    const messages: RequestMessage[] = [];
    let early: AbortSignal | undefined;
    broker.serve('slow', (_payload: unknown, message: RequestMessage) => {
      messages.push(message);
      early = message.signal;
      return new Promise(() => undefined);
    });
    watch(broker.request('slow', undefined, { timeoutMs: 50 }));
    await clock.advance(60);
    expect(early?.aborted).toBe(true);
    expect(messages[0]?.signal.reason).toBeInstanceOf(RequestTimeoutError);
  });

  it('unsubscribes from the Observable that answers it', async () => {
    const { broker, clock } = brokerFixture();
    const subject = new Subject<number>();
    broker.serve('stream', () => subject);
    watch(broker.request('stream', undefined, { timeoutMs: 50 }));
    expect(subject.observed).toBe(true);
    await clock.advance(60);
    expect(subject.observed).toBe(false);
  });

  it.each([0, -1, Number.NaN])('cannot be %s ms', async (timeoutMs) => {
    const { broker } = brokerFixture();
    broker.serve('any', () => 1);
    await expect(broker.request('any', undefined, { timeoutMs })).rejects.toThrow(PayloadError);
  });
});

describe("the caller's signal", () => {
  it('ends the request with its reason and reaches the handler', async () => {
    const { broker } = brokerFixture();
    let seen: AbortSignal | undefined;
    broker.serve('slow', (_payload: unknown, message: RequestMessage) => {
      seen = message.signal;
      return new Promise(() => undefined);
    });
    const caller = new AbortController();
    const request = broker.request('slow', undefined, { signal: caller.signal });
    caller.abort(new Error('changed my mind'));
    await expect(request).rejects.toThrow('changed my mind');
    expect(seen?.aborted).toBe(true);
  });

  it('refuses the request when it is aborted already', async () => {
    const { broker } = brokerFixture();
    let ran = false;
    broker.serve('any', () => {
      ran = true;
    });
    await expect(broker.request('any', undefined, { signal: AbortSignal.abort(new Error('gone')) })).rejects.toThrow(
      'gone',
    );
    expect(ran).toBe(false);
  });
});

describe('the call context of a handler', () => {
  it('inherits correlation and trace, and carries the deadline on', async () => {
    const { broker, clock, contexts } = brokerFixture();
    broker.serve('who', () => contexts.current());
    const parent = { correlationId: 'c-7', traceparent: '00-a-b-01' };
    const seen = await contexts.run(parent, () => broker.request('who', undefined, { timeoutMs: 300 }));
    expect(seen).toEqual({ ...parent, deadlineAt: clock.now() + 300 });
  });

  it('is opened when there was none', async () => {
    const { broker, contexts, clock } = brokerFixture();
    broker.serve('who', () => contexts.current());
    expect(await broker.request('who')).toEqual({ correlationId: 'id-1.0.0', deadlineAt: clock.now() + 5_000 });
  });

  it("stays the caller's own when that already ends earlier", async () => {
    const { broker, clock, contexts } = brokerFixture();
    broker.serve('who', () => contexts.current());
    const parent = { correlationId: 'c-7', deadlineAt: clock.now() + 10 };
    expect(await contexts.run(parent, () => broker.request('who'))).toBe(parent);
  });
});

describe('limits of requests', () => {
  it('refuses a request beyond maxInFlight with a retryable error', async () => {
    const { broker } = brokerFixture({ maxInFlight: 2 });
    broker.serve('slow', () => new Promise(() => undefined));
    watch(broker.request('slow'));
    watch(broker.request('slow'));
    await expect(broker.request('slow')).rejects.toSatisfy(
      (error) => error instanceof OverloadedError && error.retryable && error.getStatus() === 503,
    );
  });

  it('counts outcomes and durations by pattern', async () => {
    const { broker, metrics } = brokerFixture();
    broker.serve('sum', () => 1);
    await broker.request('sum');
    expect(metrics.read('mesh_messages_total{topic="sum",direction="request",outcome="ok"}')).toBe(1);
    expect(metrics.read('mesh_request_duration_seconds{pattern="sum"}')).toBe(1);
    expect(metrics.read('mesh_messages_in_flight{direction="request"}')).toBe(0);
  });
});

describe('a request under a policy', () => {
  it.each<[string, () => unknown]>([
    ['a value', () => 3],
    ['a promise', async () => 3],
    ['an Observable', () => of(1, 2, 3)],
    ['a promise of an Observable', async () => of(1, 2, 3)],
    // oxlint-disable-next-line unicorn/no-thenable -- query builders are such
    ['a foreign thenable', () => ({ then: (resolve: (value: number) => void) => resolve(3) })],
  ])('is made again after an error and takes %s for an answer', async (_what, answer) => {
    const attempt = { signal: new AbortController().signal, attempt: 1, remainingMs: 100 } as never;
    const policy = {
      name: 'broker:flaky',
      execute: async <T>(work: (attempt: never) => PromiseLike<T> | T): Promise<T> =>
        Promise.resolve(work(attempt)).catch(() => work(attempt)),
    };
    const { broker } = brokerFixture({}, () => policy);
    let calls = 0;
    broker.serve('flaky', () => {
      if (++calls === 1) throw new Error('once');
      return answer();
    });
    await expect(broker.request('flaky')).resolves.toBe(3);
    expect(broker.readHealth()[0]?.details).toMatchObject({ inFlight: 0 });
  });

  it('runs through the policy of its pattern, with its deadline and signal', async () => {
    const seen: unknown[] = [];
    const policy = {
      name: 'broker:flaky',
      execute: async <T>(work: (attempt: never) => PromiseLike<T> | T, options: unknown): Promise<T> => {
        seen.push(options);
        const attempt = { signal: new AbortController().signal, attempt: 1, remainingMs: 100 } as never;
        return Promise.resolve(work(attempt)).catch(() => work(attempt));
      },
    };
    const { broker, clock } = brokerFixture({}, (pattern) => (pattern === 'flaky' ? policy : undefined));
    let calls = 0;
    broker.serve('flaky', async () => {
      if (++calls === 1) throw new Error('once');
      return calls;
    });
    await expect(broker.request('flaky', undefined, { idempotent: true })).resolves.toBe(2);
    expect(seen).toEqual([{ deadline: clock.now() + 5_000, idempotent: true }]);
    expect(broker.readHealth()[0]?.details).toMatchObject({ inFlight: 0 });
  });
});

describe('draining requests', () => {
  it('waits for a handler whose attempt the policy gave up', async () => {
    const gate = Promise.withResolvers<void>();
    const policy = {
      name: 'broker:slow',
      execute: async (work: (attempt: never) => unknown): Promise<never> => {
        void work({ signal: new AbortController().signal, attempt: 1, remainingMs: 1 } as never);
        throw new Error('attempt timed out');
      },
    };
    const { broker, clock } = brokerFixture({}, () => policy);
    broker.serve('slow', () => gate.promise);
    await expect(broker.request('slow')).rejects.toThrow('attempt timed out');
    await clock.advance(5);
    const drained = watch(broker.drain({ deadlineAt: clock.now() + 20 }));
    await clock.advance(20);
    expect(drained.outcome).toMatchObject({ abandoned: [{ name: 'slow', ageMs: 25 }] });
    gate.resolve();
  });

  it('refuses new work but serves what running work asks for', async () => {
    const { broker, clock } = brokerFixture();
    const gate = Promise.withResolvers<void>();
    broker.serve('inner', () => 'inner');
    broker.serve('outer', async () => {
      await gate.promise;
      return broker.request('inner');
    });
    const running = broker.request('outer');
    const drained = broker.drain({ deadlineAt: clock.now() + 1_000 });
    await expect(broker.request('inner')).rejects.toThrow(DrainingError);
    gate.resolve();
    await expect(running).resolves.toBe('inner');
    await expect(drained).resolves.toEqual({ finished: 2, abandoned: [] });
  });

  it('reports at the deadline what still runs', async () => {
    const { broker, clock } = brokerFixture();
    broker.serve('stuck', () => new Promise(() => undefined));
    const request = watch(broker.request('stuck'));
    await clock.advance(200);
    const drained = watch(broker.drain({ deadlineAt: clock.now() + 300 }));
    await clock.advance(300);
    expect(drained.outcome).toEqual({ finished: 0, abandoned: [{ name: 'stuck', ageMs: 500 }] });
    broker.stop();
    await clock.advance(0);
    expect(request.outcome).toBeInstanceOf(RequestTimeoutError);
    expect((request.outcome as Error).message).toContain('within 500 ms');
    expect(clock.pendingTimers).toBe(0);
  });

  it('waits for a handler whose caller gave up', async () => {
    const { broker, clock } = brokerFixture();
    const gate = Promise.withResolvers<void>();
    broker.serve('slow', () => gate.promise);
    watch(broker.request('slow', undefined, { timeoutMs: 10 }));
    await clock.advance(20);
    const drained = watch(broker.drain({ deadlineAt: clock.now() + 1_000 }));
    await clock.advance(100);
    expect(drained.state).toBe('pending');
    gate.resolve();
    await clock.advance(0);
    expect(drained.outcome).toEqual({ finished: 1, abandoned: [] });
  });
});
