import { concat, firstValueFrom, lastValueFrom, NEVER, Observable, of, Subject, take, throwError, toArray } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ResilienceFixture } from '../../../../test/resilience/resilience.fixture.js';
import { callSignal } from './call-signal.js';
import { observeThrough } from './observable-call.js';
import { CircuitOpenError } from './resilience.errors.js';

const failures = { failureRatio: 0.5, minimumCalls: 2 };
const down = (): Observable<never> => throwError(() => new Error('callee down'));

let fixture: ResilienceFixture;
beforeEach(() => {
  fixture = new ResilienceFixture({
    policies: {
      plain: { retry: false, circuitBreaker: failures },
      retrying: { retry: { maxRetries: 2, delayMs: 10, jitter: 'none' } },
      narrow: { retry: false, bulkhead: { maxConcurrent: 1 } },
      quick: { retry: false, timeoutMs: 100 },
      hedged: { retry: false, hedge: { delayMs: 50 } },
    },
  });
});
afterEach(() => fixture.close());

const policy = (name: string) => fixture.manager.policy(name);
const callsOf = (name: string): number => fixture.manager.breaker(name).snapshot().calls;

describe('an Observable through a policy', () => {
  it('does nothing until it is subscribed to, and is one call each time', async () => {
    const start = vi.fn(() => of(1));
    const stream = observeThrough(policy('plain'), start);
    expect([start.mock.calls.length, fixture.manager.inFlight]).toEqual([0, 0]);
    await lastValueFrom(stream);
    await lastValueFrom(stream);
    expect([start.mock.calls.length, callsOf('plain')]).toEqual([2, 2]);
  });

  it('emits what its source emits, in order, while it emits', async () => {
    const source = new Subject<number>();
    const seen: (number | string)[] = [];
    observeThrough(policy('plain'), () => source).subscribe({
      next: (value) => seen.push(value),
      complete: () => seen.push('end'),
    });
    source.next(1);
    source.next(2);
    expect(seen).toEqual([1, 2]);
    source.complete();
    await fixture.clock.advance(0);
    expect(seen).toEqual([1, 2, 'end']);
  });

  it('counts as one success however much it emits', async () => {
    await lastValueFrom(observeThrough(policy('plain'), () => of(1, 2, 3)));
    expect(fixture.manager.breaker('plain').snapshot()).toMatchObject({ calls: 1, failures: 0 });
  });

  it('counts its error as a failure, and is refused by an open circuit', async () => {
    const stream = observeThrough(policy('plain'), down);
    await expect(lastValueFrom(stream)).rejects.toThrow('callee down');
    await expect(lastValueFrom(stream)).rejects.toThrow('callee down');
    await expect(lastValueFrom(stream)).rejects.toBeInstanceOf(CircuitOpenError);
  });

  it('fails when its source cannot even be made', async () => {
    const stream = observeThrough(policy('plain'), () => {
      throw new Error('no source');
    });
    await expect(lastValueFrom(stream)).rejects.toThrow('no source');
  });

  it('aborts the signal, frees its slot and counts as nothing when it is unsubscribed from', async () => {
    let signal: AbortSignal | undefined;
    const subscription = observeThrough(policy('narrow'), () => {
      signal = callSignal();
      return NEVER;
    }).subscribe();
    expect(fixture.manager.inFlight).toBe(1);
    subscription.unsubscribe();
    expect(signal?.aborted).toBe(true);
    await fixture.clock.advance(0);
    expect(fixture.manager.breaker('narrow').snapshot().calls).toBe(0);
    await expect(lastValueFrom(observeThrough(policy('narrow'), () => of(1)))).resolves.toBe(1);
  });

  it.each(['plain', 'retrying', 'hedged'])(
    'counts as a success of policy "%s" when it is unsubscribed from after a value, as by firstValueFrom',
    async (name) => {
      const source = new Subject<number>();
      let signal: AbortSignal | undefined;
      const value = firstValueFrom(
        observeThrough(policy(name), (attempt) => ((signal = attempt.signal), source), { idempotent: true }),
      );
      await fixture.clock.advance(5);
      source.next(1);
      expect([await value, signal?.aborted, source.observed]).toEqual([1, true, false]);
      await fixture.clock.advance(0);
      expect(await firstValueFrom(observeThrough(policy(name), () => of(2)))).toBe(2);
      await fixture.clock.advance(0);
      expect(fixture.manager.breaker(name).snapshot()).toMatchObject({ calls: 2, failures: 0 });
      expect(fixture.metrics.value('mesh_calls_total', { policy: name, outcome: 'success' })).toBe(2);
    },
  );

  it('counts once when one of two hedged sources has spoken', async () => {
    let attempts = 0;
    const sources = [new Subject<string>(), new Subject<string>()] as const;
    const value = firstValueFrom(observeThrough(policy('hedged'), () => sources[attempts++]!, { idempotent: true }));
    await fixture.clock.advance(50);
    sources[1].next('second');
    expect(await value).toBe('second');
    await fixture.clock.advance(0);
    expect(callsOf('hedged')).toBe(1);
  });

  it('unsubscribes its source as soon as the subscriber has enough, even of a source that never pauses', async () => {
    const endless = new Observable<number>((subscriber) => {
      for (let i = 0; !subscriber.closed; i++) subscriber.next(i);
    });
    const values = await lastValueFrom(observeThrough(policy('plain'), () => endless).pipe(take(3), toArray()));
    expect(values).toEqual([0, 1, 2]);
    await fixture.clock.advance(0);
  });

  it('gives up at the timeout, unsubscribes its source and frees its slot', async () => {
    let unsubscribed = false;
    const source = new Observable<never>(() => () => void (unsubscribed = true));
    const result = expect(lastValueFrom(observeThrough(policy('quick'), () => source))).rejects.toMatchObject({
      code: 'MESH_ATTEMPT_TIMEOUT',
    });
    await fixture.clock.advance(100);
    await result;
    expect(unsubscribed).toBe(true);
  });

  it('starts again after a failure before the first value', async () => {
    let attempts = 0;
    const stream = observeThrough(policy('retrying'), () => (++attempts < 3 ? down() : of('done')), {
      idempotent: true,
    });
    const result = lastValueFrom(stream);
    await fixture.clock.advance(1_000);
    expect([await result, attempts]).toEqual(['done', 3]);
  });

  it('never starts again after the first value', async () => {
    let attempts = 0;
    const source = (): Observable<number> => (attempts++, concat(of(1), down()));
    const seen: number[] = [];
    const result = expect(
      new Promise((_resolve, error) => {
        observeThrough(policy('retrying'), source, { idempotent: true }).subscribe({
          next: (value) => seen.push(value),
          error,
        });
      }),
    ).rejects.toThrow('callee down');
    await fixture.clock.advance(1_000);
    await result;
    expect([seen, attempts]).toEqual([[1], 1]);
  });

  it('can be cut short by a signal of the caller', async () => {
    const caller = new AbortController();
    const result = expect(
      lastValueFrom(observeThrough(policy('plain'), () => NEVER, { signal: caller.signal })),
    ).rejects.toMatchObject({ code: 'MESH_CANCELLED' });
    caller.abort();
    await result;
  });

  it('lets one of two hedged sources speak', async () => {
    let attempts = 0;
    const sources = [new Subject<string>(), new Subject<string>()] as const;
    const seen: string[] = [];
    observeThrough(policy('hedged'), () => sources[attempts++]!, { idempotent: true }).subscribe((value) =>
      seen.push(value),
    );
    await fixture.clock.advance(50);
    expect(attempts).toBe(2);
    sources[1].next('second');
    expect(sources[0].observed).toBe(false);
    sources[0].next('first');
    sources[1].complete();
    await fixture.clock.advance(0);
    expect(seen).toEqual(['second']);
  });

  describe('that is a success at its first value', () => {
    const first = { success: 'first' } as const;

    it('frees its slot and has no time limit from then on', async () => {
      const source = new Subject<number>();
      const seen: number[] = [];
      observeThrough(policy('narrow'), () => source, first).subscribe((value) => seen.push(value));
      source.next(1);
      await fixture.clock.advance(60_000);
      source.next(2);
      expect(seen).toEqual([1, 2]);
      expect(await firstValueFrom(observeThrough(policy('narrow'), () => of(3), first))).toBe(3);
      source.complete();
    });

    it('still ends, fails and is unsubscribed from as its source', async () => {
      const ended: string[] = [];
      const sources = [new Subject<number>(), new Subject<number>(), new Subject<number>()] as const;
      const subscriptions = sources.map((source) =>
        observeThrough(policy('plain'), () => source, first).subscribe({
          complete: () => ended.push('complete'),
          error: (error: Error) => ended.push(error.message),
        }),
      );
      for (const source of sources) source.next(1);
      await fixture.clock.advance(0);
      sources[0].complete();
      sources[1].error(new Error('broke'));
      subscriptions[2]!.unsubscribe();
      expect([ended, sources[2].observed]).toEqual([['complete', 'broke'], false]);
    });

    it.each([
      ['an error right after it', concat(of(1), down()), 'callee down'],
      ['no value at all', of<number[]>(), undefined],
    ])('ends properly with %s', async (_name, source, message) => {
      const ended = await new Promise((resolve) => {
        observeThrough<unknown>(policy('plain'), () => source as Observable<unknown>, first).subscribe({
          complete: () => resolve(undefined),
          error: (error: Error) => resolve(error.message),
        });
      });
      expect(ended).toBe(message);
    });
  });
});
