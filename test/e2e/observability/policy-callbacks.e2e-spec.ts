import type { INestApplicationContext } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { callLogFields, CallContexts, MeshModule, type ResiliencePolicy, ServiceMesh } from 'nestjs-mesh';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

let app: INestApplicationContext;
let mesh: ServiceMesh;
/** Where code of the user's ran, and which correlation id its lines would carry. */
let seen: Map<string, string | undefined>;

beforeAll(async () => {
  const policy = { retry: false, circuitBreaker: false } as const;
  app = await NestFactory.createApplicationContext(
    MeshModule.forRoot({
      service: { name: 'callbacks' },
      logging: { level: 'silent' },
      resilience: {
        policies: {
          slow: { ...policy, timeoutMs: 20 },
          flaky: { ...policy, retry: { maxRetries: 1, delayMs: 10, jitter: 'none' } },
          hedged: { ...policy, hedge: { maxHedges: 1, delayMs: 10 } },
          queued: { ...policy, bulkhead: { maxConcurrent: 1, maxQueued: 10, maxWaitMs: 5_000 } },
        },
      },
    }),
    { logger: false },
  );
  mesh = app.get(ServiceMesh);
});
afterAll(() => app.close());
beforeEach(() => (seen = new Map()));

const note = (place: string): void => void seen.set(place, callLogFields(app.get(CallContexts)).correlationId);
const inContext = <T>(correlationId: string, work: () => T): T =>
  mesh.run('test', work, { 'x-correlation-id': correlationId });
const policy = (name: string): ResiliencePolicy => mesh.breakers.policy(name);

describe('code that a policy calls back', () => {
  it.each<[string, string, () => Promise<unknown>]>([
    [
      'a fallback after a timeout',
      'fallback',
      () => policy('slow').execute(() => new Promise(() => undefined), { fallback: () => note('fallback') }),
    ],
    [
      'an attempt after a backoff',
      'attempt 2',
      async () => {
        let attempt = 0;
        await policy('flaky').execute(
          async () => {
            note(`attempt ${++attempt}`);
            if (attempt === 1) throw new Error('once');
          },
          { idempotent: true },
        );
      },
    ],
    [
      'a hedge beside a slow attempt',
      'attempt 2',
      async () => {
        let attempt = 0;
        await policy('hedged').execute(
          () => {
            note(`attempt ${++attempt}`);
            return attempt === 1 ? new Promise<void>(() => undefined) : Promise.resolve();
          },
          { idempotent: true },
        );
      },
    ],
  ])('logs with the ids of its call, not of a call beside it: %s', async (_what, place, call) => {
    // Timers are shared among calls: another call's context must not come along.
    const others = ['other-1', 'other-2'].map((id) =>
      inContext(id, () =>
        policy('slow')
          .execute(() => new Promise(() => undefined))
          .catch(() => undefined),
      ),
    );
    await inContext('mine', call);
    await Promise.all(others);
    expect(seen.get(place)).toBe('mine');
  });

  it('logs with the ids of its call when it had to wait for a slot', async () => {
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const first = inContext('first', () => policy('queued').execute(() => released));
    const second = inContext('second', () => policy('queued').execute(() => note('second')));
    release();
    await Promise.all([first, second]);
    expect(seen.get('second')).toBe('second');
  });

  // Node calls listeners in the context of whoever aborts: AsyncResource.bind gives one that of its call.
  it('has the ids of no other call when it listens to a signal that a timeout aborts', async () => {
    const hang = (place: string) =>
      inContext(place, () =>
        policy('slow')
          .execute(({ signal }) => {
            signal.addEventListener('abort', () => note(place));
            return new Promise(() => undefined);
          })
          .catch(() => undefined),
      );
    await Promise.all(['first', 'second'].map(hang));
    expect([undefined, 'second']).toContain(seen.get('second'));
    expect(seen.has('first')).toBe(true);
  });

  it('has no ids outside of any context: a policy does not open one, mesh.run does', async () => {
    await policy('slow').execute(() => note('outside'));
    await mesh.run('sync', () => policy('slow').execute(() => note('job')));
    expect(seen.get('outside')).toBeUndefined();
    expect(seen.get('job')).toEqual(expect.any(String));
  });
});
