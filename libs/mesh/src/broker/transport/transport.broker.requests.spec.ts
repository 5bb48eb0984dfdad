import { BadRequestException } from '@nestjs/common';
import { of } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { BlockingClock } from '../../../../../test/blocking-clock.fixture.js';
import { watch } from '../../../../../test/broker/broker.fixture.js';
import { HEADER } from './message-headers.js';
import { transportFixture } from '../../../../../test/broker/scripted-driver.fixture.js';
import type { RequestMessage } from '../../core/broker.port.js';
import { MeshError } from '../../core/mesh.error.js';
import { PayloadError } from '../broker.errors.js';
import { RemoteError } from '../../core/remote.error.js';

const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe('asking over a transport', () => {
  it('sends the remaining time, the correlation id and the trace of the caller', async () => {
    const { broker, driver, clock, contexts } = await transportFixture();
    const context = { correlationId: 'c-1', traceparent: '00-a-b-01', deadlineAt: clock.now() + 300 };
    void contexts.run(context, () => broker.request('sum', 1, { headers: { tenant: 'a' } }));
    expect(driver.requests[0]).toMatchObject({
      name: 'sum',
      timeoutMs: 300,
      headers: { tenant: 'a', 'mesh-correlation-id': 'c-1', traceparent: '00-a-b-01' },
    });
  });

  it('resolves with the answer, and leaves no timer', async () => {
    const { broker, driver, clock } = await transportFixture();
    const answer = broker.request('sum', [1, 2]);
    driver.answerLast(3);
    expect(await answer).toBe(3);
    await clock.advance(60_000);
    expect(clock.pendingTimers).toBe(0);
  });

  it('ends at the timeout, tells the transport, and ignores a late answer', async () => {
    const { broker, driver, clock } = await transportFixture();
    const request = watch(broker.request('sum', 1, { timeoutMs: 50 }));
    await clock.advance(60);
    expect(request.outcome).toMatchObject({ code: 'MESH_REQUEST_TIMEOUT' });
    expect(driver.forgotten).toEqual([driver.requests[0]!.id]);
    driver.answerLast(3);
  });

  it('rejects everything that is on its way when the connection breaks, and the next at once', async () => {
    const { broker, driver, told } = await transportFixture();
    const pending = [broker.request('a'), broker.request('b')].map(watch);
    driver.host.onDisconnected('killed');
    await settled();
    for (const { outcome } of pending)
      expect(outcome).toMatchObject({ code: 'MESH_CONNECTION_LOST', details: { outcome: 'unknown' }, sent: true });
    await expect(broker.request('a')).rejects.toMatchObject({ details: { outcome: 'unsent' }, sent: false });
    expect(told.at(-1)).toMatchObject({ name: 'broker.connection', event: { state: 'away', reason: 'killed' } });
    expect(broker.readHealth()).toMatchObject([{ status: 'down' }]);
  });

  it('revives the error of another service, with what retries must know', async () => {
    const { broker, driver } = await transportFixture();
    const request = watch(broker.request('sum'));
    const wire = {
      status: 'error',
      code: 'MESH_OVERLOADED',
      message: 'm',
      statusCode: 503,
      retryable: true,
      unsent: true,
    };
    driver.host.onReply(driver.requests[0]!.id, { ok: false, body: { data: Buffer.from(JSON.stringify(wire)) } });
    await settled();
    expect(request.outcome).toBeInstanceOf(RemoteError);
    expect(request.outcome).toMatchObject({ code: 'MESH_OVERLOADED', retryable: true, sent: false });
  });

  it('counts a pattern without a handler under no name of its own', async () => {
    const { broker, driver, metrics } = await transportFixture();
    const request = broker.request('no.such');
    driver.host.onNoResponder(driver.requests[0]!.id);
    await expect(request).rejects.toMatchObject({ code: 'MESH_NO_RESPONDER', sent: false });
    const series = 'mesh_messages_total{topic="(unserved)",direction="request",outcome="no-responder"}';
    expect(metrics.read(series)).toBe(1);
  });

  it('refuses headers that no wire carries', async () => {
    const { broker } = await transportFixture();
    for (const headers of [{ a: 'x\r\nb: y' }, { 'a b': 'x' }, { 'a:b': 'x' }, { a: 1 as unknown as string }])
      await expect(broker.request('sum', 1, { headers })).rejects.toMatchObject({ code: 'MESH_PAYLOAD_INVALID' });
  });

  it('refuses what is no JSON before anything is sent', async () => {
    const { broker, driver } = await transportFixture();
    const circular: { self?: unknown } = {};
    circular.self = circular;
    for (const payload of [circular, 1n, () => 1, Symbol('x')])
      await expect(broker.request('sum', payload)).rejects.toMatchObject({ code: 'MESH_PAYLOAD_INVALID' });
    expect(driver.requests).toEqual([]);
  });

  it('sends each attempt of its policy anew', async () => {
    const policy = {
      name: 'broker:sum',
      execute: async <T>(work: (attempt: never) => PromiseLike<T> | T): Promise<T> => {
        const attempt = { attempt: 1, remainingMs: 100, signal: new AbortController().signal } as never;
        return Promise.resolve(work(attempt)).catch(() => work(attempt));
      },
    };
    const { broker, driver } = await transportFixture({}, { policyFor: () => policy });
    const request = broker.request('sum', 1);
    await Promise.resolve();
    driver.host.onRequestFailed(driver.requests[0]!.id, 'closed');
    await settled();
    expect(driver.requests).toHaveLength(2);
    driver.answerLast('second');
    expect(await request).toBe('second');
  });
});

describe('answering over a transport', () => {
  it('runs the handler within the time that the caller has left', async () => {
    const { broker, driver, clock, contexts } = await transportFixture();
    let seen: RequestMessage | undefined;
    broker.serve('sum', (_payload: unknown, message: RequestMessage) => {
      seen = message;
      return { deadlineAt: contexts.current()?.deadlineAt, correlationId: contexts.current()?.correlationId };
    });
    await Promise.resolve();
    const { value } = await driver.ask('sum', 1, { 'mesh-timeout-ms': '250', 'mesh-correlation-id': 'c-1' });
    expect(value).toEqual({ deadlineAt: clock.now() + 250, correlationId: 'c-1' });
    expect(seen?.deadlineAt).toBe(clock.now() + 250);
  });

  it('counts what became of it here, and how long its handler took', async () => {
    const { broker, driver, metrics } = await transportFixture();
    broker.serve('sum', (n: number) => (n > 1 ? Promise.reject(new Error('too many')) : n));
    await driver.ask('sum', 1);
    await driver.ask('sum', 2);
    const count = (outcome: string) =>
      metrics.read(`mesh_messages_total{topic="sum",direction="serve",outcome="${outcome}"}`);
    expect([count('ok'), count('failed')]).toEqual([1, 1]);
    expect(metrics.read('mesh_message_process_duration_seconds{topic="sum",direction="serve"}')).toBe(2);
  });

  it('does not run expired work', async () => {
    const { broker, driver, metrics } = await transportFixture();
    let runs = 0;
    broker.serve('sum', () => runs++);
    const { ok, value } = await driver.ask('sum', 1, { 'mesh-timeout-ms': '0' });
    expect({ ok, runs }).toEqual({ ok: false, runs: 0 });
    expect(value).toMatchObject({ code: 'MESH_REQUEST_TIMEOUT', unsent: true });
    expect(metrics.read('mesh_messages_total{topic="sum",direction="serve",outcome="expired"}')).toBe(1);
  });

  it('does not run what waited too long behind those that were read with it', async () => {
    const clock = new BlockingClock();
    const { broker, driver } = await transportFixture({}, { clock });
    let runs = 0;
    broker.serve('block', () => {
      runs++;
      clock.block(60);
    });
    const headers = { [HEADER.timeoutMs]: '200' };
    const lot = Array.from({ length: 20 }, () => driver.ask('block', undefined, headers));
    expect((await Promise.all(lot)).filter(({ ok }) => ok)).toHaveLength(4);
    expect(runs).toBe(4);
    expect(await driver.ask('block', undefined, headers)).toMatchObject({ ok: true });
  });

  it('refuses more than it can run, as unsent', async () => {
    const { broker, driver } = await transportFixture({ maxInFlight: 1 });
    broker.serve('sum', () => new Promise(() => undefined));
    void driver.ask('sum', 1);
    expect(await driver.ask('sum', 2)).toMatchObject({ ok: false, value: { code: 'MESH_OVERLOADED', unsent: true } });
  });

  it('answers a probe without running the handler', async () => {
    const { broker, driver } = await transportFixture();
    let runs = 0;
    broker.serve('sum', () => runs++);
    expect(await driver.ask('sum', 1, { 'mesh-probe': '1' })).toEqual({ ok: true, value: undefined });
    expect(runs).toBe(0);
  });

  it.each([
    [
      'a mesh error',
      new MeshError('m', { code: 'MESH_TEST', status: 409, retryable: true }),
      { code: 'MESH_TEST', statusCode: 409, retryable: true, origin: 'shop' },
    ],
    [
      'an HttpException',
      new BadRequestException('no name'),
      { code: 'HTTP_400', message: 'no name', retryable: false },
    ],
    [
      'an RpcException',
      { getError: () => ({ code: 'STOCK', message: 'none left' }) },
      { code: 'STOCK', message: 'none left' },
    ],
    ['an unknown error', new Error('password is hunter2'), { code: 'MESH_REMOTE', statusCode: 500, retryable: true }],
    ['a thrown string', 'oops', { code: 'MESH_REMOTE' }],
  ])('tells the caller of %s what it may know', async (_name, error, wire) => {
    const { broker, driver } = await transportFixture();
    broker.serve('sum', () => {
      throw error;
    });
    const { ok, value } = await driver.ask('sum', 1);
    expect(ok).toBe(false);
    expect(value).toMatchObject(wire);
    expect(JSON.stringify(value)).not.toContain('hunter2');
  });

  it('tells the log of an unknown error, under the reference that the caller gets', async () => {
    const { broker, driver, told } = await transportFixture();
    broker.serve('sum', () => {
      throw new Error('inner');
    });
    const { value } = await driver.ask('sum', 1);
    const { event } = told.find(({ name }) => name === 'broker.handler-failed')!;
    expect(event).toMatchObject({ topic: 'sum', error: { message: 'inner' } });
    expect((value as { message: string }).message).toContain((event as { messageId: string }).messageId);
  });

  it('tells the log of it in the context of the request', async () => {
    const { broker, driver, events, contexts } = await transportFixture();
    const told: unknown[] = [];
    events.on('broker.handler-failed', () => told.push(contexts.current()?.correlationId));
    broker.serve('sum', () => Promise.reject(new Error('inner')));
    await driver.ask('sum', 1, { [HEADER.correlationId]: 'c0ffee' });
    expect(told).toEqual(['c0ffee']);
  });

  it('answers with the last value of an Observable, and an answer that is no JSON with an error', async () => {
    const { broker, driver } = await transportFixture();
    broker.serve('last', () => of(1, 2));
    broker.serve('bigint', () => 1n);
    expect(await driver.ask('last', 1)).toEqual({ ok: true, value: 2 });
    expect(await driver.ask('bigint', 1)).toMatchObject({ ok: false, value: { code: 'MESH_PAYLOAD_INVALID' } });
  });

  it('tells the caller when the answer is more than the transport takes', async () => {
    const { broker, driver } = await transportFixture();
    broker.serve('sum', () => 'large');
    const replies: boolean[] = [];
    driver.serving.get('sum')!({
      headers: {},
      body: { data: Buffer.from('1') },
      reply: ({ ok }) => {
        replies.push(ok);
        if (ok) throw new PayloadError('too large');
      },
    });
    await settled();
    expect(replies).toEqual([true, false]);
  });

  it('asks no longer than there is time to wait for somebody who serves a pattern', async () => {
    const { broker, driver, clock } = await transportFixture();
    const waiting = watch(broker.waitFor(['sum'], { timeoutMs: 100 }));
    await clock.advance(120);
    expect(waiting.outcome).toMatchObject({ code: 'MESH_REQUEST_TIMEOUT', details: { timeoutMs: 100 } });
    expect(driver.requests).toHaveLength(1);
  });

  it('opens an intake again that could not be opened', async () => {
    const { broker, driver, clock, told } = await transportFixture();
    driver.refuseIntakes = new Error('no permission');
    broker.serve('sum', () => 1);
    await clock.advance(0);
    expect(told.at(-1)).toMatchObject({
      name: 'broker.transport-failed',
      event: { error: { message: 'no permission' } },
    });
    driver.refuseIntakes = undefined;
    await clock.advance(1_000);
    expect(await driver.ask('sum', 1)).toEqual({ ok: true, value: 1 });
  });
});
