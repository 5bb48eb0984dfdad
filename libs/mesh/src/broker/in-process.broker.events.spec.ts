import { AsyncLocalStorage } from 'node:async_hooks';
import { BadRequestException } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { DrainingError } from '../core/mesh.errors.js';
import type { Message } from '../core/broker.port.js';
import { brokerFixture, watch } from '../../../../test/broker/broker.fixture.js';
import { OverloadedError, PayloadError } from './broker.errors.js';

describe('publish', () => {
  it('reaches every subscriber of the topic, and no other', async () => {
    const { broker, clock } = brokerFixture();
    const seen: string[] = [];
    await broker.subscribe('placed', () => seen.push('a'), { name: 'a' });
    await broker.subscribe('placed', () => seen.push('b'), { name: 'b' });
    await broker.subscribe('paid', () => seen.push('c'));
    await expect(broker.publish('placed', 1)).resolves.toEqual({ id: 'id-2', receivers: 2 });
    await clock.advance(0);
    expect(seen).toEqual(['a', 'b']);
  });

  it('hands over payload, headers and identity', async () => {
    const { broker, clock } = brokerFixture();
    const seen: Message[] = [];
    await broker.subscribe('placed', (_payload, message) => void seen.push(message));
    await broker.publish('placed', { n: 1 }, { id: 'm-1', headers: { tenant: 'x' } });
    await clock.advance(0);
    const publishedAt = clock.now();
    expect(seen).toEqual([
      { id: 'm-1', topic: 'placed', payload: { n: 1 }, headers: { tenant: 'x' }, publishedAt, attempt: 1 },
    ]);
  });

  it('neither waits for handlers nor fails with them', async () => {
    const { broker, events, clock } = brokerFixture({ subscribe: { maxDeliver: 1 } });
    const failures: unknown[] = [];
    events.on('broker.handler-failed', (event) => failures.push(event));
    await broker.subscribe('placed', () => new Promise(() => undefined));
    await broker.subscribe('placed', function onPlaced() {
      throw new Error('no');
    });
    await broker.publish('placed');
    await clock.advance(0);
    expect(failures).toMatchObject([{ topic: 'placed', handler: 'onPlaced', messageId: 'id-2', attempt: 1 }]);
  });

  it('tells of failures and of the dead letter in the context of the message', async () => {
    const { broker, events, clock, contexts } = brokerFixture({ subscribe: { maxDeliver: 1 } });
    const told: unknown[] = [];
    events.onAny((name) => told.push([name, contexts.current()?.correlationId]));
    await broker.subscribe('placed', () => Promise.reject(new Error('no')));
    await contexts.run({ correlationId: 'c0ffee' }, () => broker.publish('placed'));
    await clock.advance(0);
    expect(told).toEqual([
      ['broker.handler-failed', 'c0ffee'],
      ['broker.dead-lettered', 'c0ffee'],
    ]);
  });

  it('is refused for all when one subscriber has no room', async () => {
    const { broker, clock } = brokerFixture({ subscribe: { maxQueued: 2 } });
    const fast: unknown[] = [];
    await broker.subscribe('placed', () => new Promise(() => undefined), { concurrency: 1, name: 'slow' });
    await broker.subscribe('placed', (payload) => fast.push(payload), { name: 'fast' });
    await broker.publish('placed', 1);
    await clock.advance(0);
    await broker.publish('placed', 2);
    await broker.publish('placed', 3);
    await clock.advance(0);
    const refused = broker.publish('placed', 4);
    await expect(refused).rejects.toThrow(OverloadedError);
    await expect(refused).rejects.toThrow(/"slow"/);
    expect(broker.readHealth()).toMatchObject([{ name: 'broker', status: 'degraded' }]);
    await clock.advance(0);
    expect(fast).toEqual([1, 2, 3]);
  });

  it('counts what became of it, and how long its handler took each time', async () => {
    const { broker, clock, metrics } = brokerFixture({ subscribe: { maxDeliver: 2, backoffMs: [100] } });
    await broker.subscribe('placed', (fails: boolean) => (fails ? Promise.reject(new Error('no')) : undefined));
    await broker.publish('placed', false);
    await broker.publish('placed', true);
    await clock.advance(1_000);
    const count = (outcome: string) =>
      metrics.read(`mesh_messages_total{topic="placed",direction="deliver",outcome="${outcome}"}`);
    expect([count('ok'), count('failed'), count('dead-lettered')]).toEqual([1, 2, 1]);
    expect(metrics.read('mesh_message_process_duration_seconds{topic="placed",direction="deliver"}')).toBe(3);
  });

  it('refuses a topic that is not a name', async () => {
    const { broker } = brokerFixture();
    await expect(broker.publish('')).rejects.toThrow(PayloadError);
  });
});

describe('a subscription', () => {
  it('handles at most `concurrency` messages at once, in order', async () => {
    const { broker, clock } = brokerFixture();
    const gates = [1, 2, 3].map(() => Promise.withResolvers<void>());
    const started: number[] = [];
    await broker.subscribe<number>('n', (n) => (started.push(n), gates[n]!.promise), { concurrency: 2 });
    for (const n of [0, 1, 2]) await broker.publish('n', n);
    await clock.advance(0);
    expect(started).toEqual([0, 1]);
    gates[1]!.resolve();
    await clock.advance(0);
    expect(started).toEqual([0, 1, 2]);
  });

  it('lets other work run between many messages that wait', async () => {
    const { broker } = brokerFixture();
    let handled = 0;
    await broker.subscribe('n', () => void handled++, { concurrency: 1 });
    for (let i = 0; i < 1_000; i++) await broker.publish('n', i);
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    await turn();
    expect(handled).toBeLessThan(1_000);
    for (let turns = 0; turns < 20; turns++) await turn();
    expect(handled).toBe(1_000);
  });

  it('shares the messages with the others of its group', async () => {
    const { broker, clock } = brokerFixture();
    const counts = { a: 0, b: 0, all: 0 };
    await broker.subscribe('n', () => (counts.a++, new Promise(() => undefined)), { group: 'workers' });
    await broker.subscribe('n', () => (counts.b++, new Promise(() => undefined)), { group: 'workers' });
    await broker.subscribe('n', () => counts.all++, { name: 'all' });
    for (let i = 0; i < 10; i++) await broker.publish('n', i);
    await clock.advance(0);
    expect(counts).toEqual({ a: 5, b: 5, all: 10 });
  });

  it('is refused under a name that another has on its topic, until that one stops', async () => {
    const { broker } = brokerFixture();
    const first = await broker.subscribe('n', () => 1);
    await expect(broker.subscribe('n', () => 2)).rejects.toMatchObject({ code: 'MESH_CONFIG_INVALID' });
    await expect(broker.subscribe('n', () => 2, { group: false })).rejects.toMatchObject({ details: { topic: 'n' } });
    await broker.subscribe('other', () => 2);
    await first.stop();
    await broker.subscribe('n', () => 2);
  });

  it('delivers nothing before the mesh consumes, and keeps what was published', async () => {
    const { broker, clock } = brokerFixture();
    broker.pauseConsuming();
    const seen: unknown[] = [];
    await broker.subscribe('placed', (payload) => seen.push(payload));
    await broker.publish('placed', 1);
    await clock.advance(0);
    expect(seen).toEqual([]);
    broker.startConsuming();
    await clock.advance(0);
    expect(seen).toEqual([1]);
  });

  it('finishes what it has when stopped, and takes no more', async () => {
    const { broker, clock } = brokerFixture();
    const gate = Promise.withResolvers<void>();
    const seen: unknown[] = [];
    const subscription = await broker.subscribe('n', async (n) => {
      await gate.promise;
      seen.push(n);
    });
    await broker.publish('n', 1);
    const stopped = watch(subscription.stop());
    await expect(broker.publish('n', 2)).resolves.toMatchObject({ receivers: 0 });
    await clock.advance(0);
    expect(stopped.state).toBe('pending');
    gate.resolve();
    await clock.advance(0);
    expect(stopped.state).toBe('resolved');
    expect(seen).toEqual([1]);
    expect(broker.readHealth()[0]?.details).toMatchObject({ subscriptions: 0 });
  });

  it.each([{ concurrency: 0 }, { maxDeliver: 1.5 }, { backoffMs: [] }])('refuses %o', async (options) => {
    const { broker } = brokerFixture();
    await expect(broker.subscribe('n', () => 1, options)).rejects.toThrow(/subscription to "n"/);
  });
});

describe('the context of a subscriber', () => {
  it("continues the publisher's correlation without its deadline", async () => {
    const { broker, clock, contexts } = brokerFixture();
    const seen: unknown[] = [];
    await broker.subscribe('placed', () => seen.push(contexts.current()));
    const publisher = { correlationId: 'c-1', traceparent: '00-a-b-01', deadlineAt: clock.now() + 5 };
    await contexts.run(publisher, () => broker.publish('placed'));
    await broker.publish('placed');
    await clock.advance(0);
    expect(seen).toEqual([{ correlationId: 'c-1', traceparent: '00-a-b-01' }, { correlationId: 'id-3' }]);
  });

  it("never sees a publisher's async storage", async () => {
    const { broker, clock } = brokerFixture();
    const tenant = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    await broker.subscribe('placed', () => seen.push(tenant.getStore()), { concurrency: 1 });
    await tenant.run('a', () => broker.publish('placed'));
    await tenant.run('b', () => broker.publish('placed'));
    await clock.advance(0);
    expect(seen).toEqual([undefined, undefined]);
  });
});

describe('a failing handler', () => {
  it('gets the message again after each backoff, then it is a dead letter', async () => {
    const { broker, clock, events } = brokerFixture();
    const attempts: number[] = [];
    const dead: unknown[] = [];
    events.on('broker.dead-lettered', (event) => dead.push(event));
    await broker.subscribe(
      'n',
      (_payload, message) => {
        attempts.push(message.attempt);
        throw new Error('still broken');
      },
      { name: 'worker', maxDeliver: 3, backoffMs: [100, 1_000] },
    );
    await broker.publish('n', 'payload');
    await clock.advance(99);
    expect(attempts).toEqual([1]);
    await clock.advance(1);
    expect(attempts).toEqual([1, 2]);
    await clock.advance(1_000);
    expect(attempts).toEqual([1, 2, 3]);
    expect(dead).toMatchObject([{ topic: 'n', handler: 'worker', messageId: 'id-2', attempts: 3, kept: true }]);
    expect(broker.deadLetters('n').list()).toMatchObject([{ handler: 'worker', message: { payload: 'payload' } }]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('gets no second try when the message itself was refused', async () => {
    const { broker, clock } = brokerFixture();
    let calls = 0;
    await broker.subscribe('n', () => {
      calls++;
      throw new BadRequestException();
    });
    await broker.publish('n');
    await clock.advance(200_000);
    expect(calls).toBe(1);
    expect(broker.deadLetters('n').size).toBe(1);
  });

  it('gets its dead letters again when they are redriven', async () => {
    const { broker, clock } = brokerFixture();
    let broken = true;
    const seen: unknown[] = [];
    await broker.subscribe(
      'n',
      (payload) => {
        if (broken) throw new Error('broken');
        seen.push(payload);
      },
      { maxDeliver: 1, name: 'worker' },
    );
    await broker.publish('n', 1);
    await broker.publish('n', 2);
    await clock.advance(0);
    broken = false;
    expect(broker.deadLetters('n').redrive(['id-3'])).toBe(1);
    await clock.advance(0);
    expect(seen).toEqual([2]);
    expect(broker.deadLetters('n').redrive()).toBe(1);
    await clock.advance(0);
    expect(seen).toEqual([2, 1]);
    expect(broker.deadLetters('n').size).toBe(0);
  });

  it('keeps as many dead letters as allowed, the newest', async () => {
    const { broker, clock, events } = brokerFixture({ subscribe: { maxDeliver: 1, maxDeadLetters: 2 } });
    const kept: boolean[] = [];
    events.on('broker.dead-lettered', (event) => kept.push(event.kept));
    await broker.subscribe('n', async () => {
      throw new Error('no');
    });
    for (const n of [1, 2, 3]) await broker.publish('n', n);
    await clock.advance(0);
    expect(kept).toEqual([true, true, false]);
    expect(
      broker
        .deadLetters('n')
        .list()
        .map((letter) => letter.message.payload),
    ).toEqual([2, 3]);
  });
});

describe('draining events', () => {
  it('works off what is queued, and gives waiting messages their last try at once', async () => {
    const { broker, clock } = brokerFixture();
    const attempts: number[] = [];
    await broker.subscribe(
      'n',
      (_payload, message) => {
        attempts.push(message.attempt);
        throw new Error('no');
      },
      { concurrency: 1 },
    );
    await broker.publish('n', 1);
    await clock.advance(0);
    const drained = watch(broker.drain({ deadlineAt: clock.now() + 1_000 }));
    await clock.advance(0);
    expect(attempts).toEqual([1, 2]);
    expect(drained.outcome).toEqual({ finished: 1, abandoned: [] });
    expect(broker.deadLetters('n').size).toBe(1);
  });

  it('reports running and waiting messages at the deadline', async () => {
    const { broker, clock, events } = brokerFixture();
    const reports: unknown[] = [];
    events.on('broker.drained', (event) => reports.push(event));
    await broker.subscribe('n', () => new Promise(() => undefined), { concurrency: 1, name: 'stuck' });
    await broker.publish('n', 1);
    await broker.publish('n', 2);
    await clock.advance(0);
    const drained = watch(broker.drain({ deadlineAt: clock.now() + 50 }));
    await clock.advance(50);
    const abandoned = [
      { name: 'stuck', ageMs: 50 },
      { name: 'stuck', ageMs: 50 },
    ];
    expect(drained.outcome).toEqual({ finished: 0, abandoned });
    expect(reports).toEqual([{ finished: 0, abandoned, durationMs: 50 }]);
  });

  it('does not wait for messages that nobody may deliver', async () => {
    const { broker, clock } = brokerFixture();
    broker.pauseConsuming();
    await broker.subscribe('n', () => 1, { name: 'worker' });
    await broker.publish('n', 1);
    const report = await broker.drain({ deadlineAt: clock.now() + 50 });
    expect(report.abandoned).toEqual([{ name: 'worker', ageMs: 0 }]);
  });

  it('refuses messages that come from no running work while it drains, and all once stopped', async () => {
    const { broker, clock, contexts } = brokerFixture();
    const gate = Promise.withResolvers<void>();
    await broker.subscribe('n', () => gate.promise);
    await broker.publish('n');
    const inWork = <T>(work: () => T): T => contexts.run({ correlationId: 'c' }, work);
    const drained = broker.drain({ deadlineAt: clock.now() + 1_000 });
    await expect(broker.publish('n')).rejects.toThrow(DrainingError);
    await expect(inWork(() => broker.publish('n'))).resolves.toMatchObject({ receivers: 1 });
    gate.resolve();
    await drained;
    await broker.stop();
    await expect(inWork(() => broker.publish('n'))).rejects.toThrow(DrainingError);
  });

  it('takes messages again between drain and stop, for shutdown hooks, and handles them before it stops', async () => {
    const { broker, clock } = brokerFixture();
    const handled: unknown[] = [];
    await broker.subscribe('n', async (payload) => {
      await clock.sleep(10);
      handled.push(payload);
    });
    await broker.drain({ deadlineAt: clock.now() });
    await broker.publish('n', 'from a hook');
    const stopped = broker.stop({ deadlineAt: clock.now() + 100 });
    await clock.advance(10);
    await stopped;
    expect(handled).toEqual(['from a hook']);
  });
});
