import type { TestingModule } from '@nestjs/testing';
import { type Message, type MessageBroker, MeshModule, type MeshOptions, type RequestMessage } from 'nestjs-mesh';
import { MeshTestingModule, MeshTestKit } from 'nestjs-mesh/testing';
import { NEVER } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';

const options: MeshOptions = {
  service: { name: 'orders' },
  broker: { requestTimeoutMs: 700 },
  resilience: {
    policies: {
      'broker:stock.reserve': {
        timeoutMs: 100,
        retry: { maxRetries: 1 },
        circuitBreaker: { minimumCalls: 4 },
      },
    },
  },
};

describe('messages in the test kit', () => {
  let app: TestingModule;
  let kit: MeshTestKit;
  let broker: MessageBroker;

  beforeEach(async () => {
    app = await MeshTestingModule.createTestingModule({ imports: [MeshModule.forRoot(options)] }).compile();
    await app.init();
    kit = app.get(MeshTestKit);
    broker = kit.mesh.broker;
  });
  afterEach(async () => {
    await app.close();
    await kit.expectQuiet();
  });

  const order = z.object({ at: z.coerce.date(), cents: z.coerce.bigint() });
  const dated = z.object({ at: z.date() });

  it('of requests reach a handler of the payload alone without anything else', async () => {
    const seen: unknown[][] = [];
    broker.serve('reserve', (...args: unknown[]) => void seen.push(args), { payloadOnly: true });
    await broker.request('reserve', 1);
    expect(seen).toEqual([[1, undefined]]);
  });

  describe('with a schema', () => {
    it('give a subscriber the output, made of what arrived', async () => {
      const seen: [unknown, Message][] = [];
      await broker.subscribe('placed', (payload, message) => void seen.push([payload, message]), { schema: order });
      await broker.publish('placed', { at: new Date(5), cents: '7' });
      await kit.clock.advance(0);
      expect(seen).toEqual([
        [
          { at: new Date(5), cents: 7n },
          expect.objectContaining({ payload: { at: '1970-01-01T00:00:00.005Z', cents: '7' } }),
        ],
      ]);
    });

    it('give a handler the output, and its caller the output of the answer', async () => {
      const seen: unknown[] = [];
      const answer = (payload: unknown): unknown => (seen.push(payload), { at: new Date(6), cents: 8 });
      broker.serve('reserve', answer, { schema: order });
      const request = { at: new Date(5), cents: 7 };
      await expect(broker.request('reserve', request, { answerSchema: order })).resolves.toEqual({
        at: new Date(6),
        cents: 8n,
      });
      expect(seen).toEqual([{ at: new Date(5), cents: 7n }]);
    });

    it('check an answer as it arrives', async () => {
      broker.serve('reserve', () => ({ at: new Date(6) }));
      await expect(broker.request('reserve', {}, { answerSchema: dated })).rejects.toMatchObject({
        code: 'MESH_PAYLOAD_INVALID',
      });
    });

    it('are checked by the sender as they are, before they are written down', async () => {
      broker.serve('reserve', (payload) => payload);
      const text = '1970-01-01T00:00:00.005Z';
      await expect(broker.request('reserve', { at: new Date(5) }, { schema: dated })).resolves.toEqual({ at: text });
      await broker.publish('placed', { at: new Date(5) }, { schema: dated });
      kit.messages.expectPublished('placed', { at: text });
      await expect(broker.publish('placed', { at: text, cents: 5n }, { schema: dated })).rejects.toThrow(
        'does not fit its schema',
      );
      const cents = z.object({ cents: z.bigint() });
      await expect(broker.publish('placed', { cents: 5n }, { schema: cents })).rejects.toThrow('as JSON');
    });
  });

  it('of requests are dropped below their policy', async () => {
    let runs = 0;
    broker.serve('stock.reserve', () => ++runs);
    kit.messages.drop('stock.reserve', { times: 1 });
    const retried = broker.request('stock.reserve', {}, { idempotent: true });
    await kit.clock.advance(300);
    await expect(retried).resolves.toBe(1);

    kit.messages.drop('stock.reserve');
    const lost = expect(broker.request('stock.reserve', {}, { idempotent: true })).rejects.toMatchObject({
      code: 'MESH_ATTEMPT_TIMEOUT',
    });
    await kit.clock.advance(700);
    await lost;
    kit.breaker('broker:stock.reserve').expectTransitions('open');
    expect(runs).toBe(1);
  });

  it('of requests are dropped on the way to another service, by any order of their keys', async () => {
    kit.messages.drop({ cmd: 'charge', of: 'payments' }, { times: 1 });
    const lost = expect(broker.request({ of: 'payments', cmd: 'charge' })).rejects.toMatchObject({
      code: 'MESH_REQUEST_TIMEOUT',
    });
    await kit.clock.advance(700);
    await lost;
    await expect(broker.request({ of: 'payments', cmd: 'charge' })).rejects.toMatchObject({
      code: 'MESH_NO_RESPONDER',
    });
    broker.serve({ cmd: 'charge', of: 'payments' }, () => 'charged');
    await expect(broker.request({ of: 'payments', cmd: 'charge' })).resolves.toBe('charged');
  });

  it('that are dropped are refused as all others are', async () => {
    kit.messages.drop('placed');
    await expect(broker.publish('placed', {}, { schema: dated })).rejects.toMatchObject({
      code: 'MESH_PAYLOAD_INVALID',
    });
    kit.messages.expectNotPublished('placed');
    await app.close();
    await expect(broker.publish('placed', { at: new Date() })).rejects.toMatchObject({ code: 'MESH_DRAINING' });
  });

  describe('that have not ended', () => {
    it('are handlers whose caller has gone', async () => {
      const work = Promise.withResolvers<void>();
      broker.serve('reserve', () => work.promise);
      const late = expect(broker.request('reserve')).rejects.toMatchObject({ code: 'MESH_REQUEST_TIMEOUT' });
      await kit.clock.advance(700);
      await late;
      await expect(kit.expectQuiet()).rejects.toThrow('a handler of "reserve"');
      work.resolve();
    });

    it('are second runs of a request', async () => {
      const work = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      let runs = 0;
      broker.serve('reserve', () => work[runs++]!.promise);
      kit.messages.duplicate('reserve', { times: 1 });
      const answer = broker.request('reserve');
      work[1]!.resolve();
      await answer;
      expect(runs).toBe(2);
      await expect(kit.expectQuiet()).rejects.toThrow('the second of a request "reserve"');
      work[0]!.resolve();
    });

    it('are not streams that nobody waits for any more', async () => {
      let signal: AbortSignal | undefined;
      broker.serve('reserve', (_payload: unknown, message: RequestMessage) => ((signal = message.signal), NEVER));
      const late = expect(broker.request('reserve')).rejects.toMatchObject({ code: 'MESH_REQUEST_TIMEOUT' });
      await expect(kit.expectQuiet()).rejects.toThrow('a handler of "reserve"');
      await kit.clock.advance(700);
      await late;
      expect(signal?.aborted).toBe(true);
    });
  });
});
