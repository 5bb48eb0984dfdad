import { context, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { lastValueFrom, of, throwError, timer } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SpanDescription, Tracer } from '../core/trace-context.js';
import { findTracer } from './opentelemetry.adapter.js';

const described: SpanDescription = { name: 'work', kind: 'client', attributes: { a: 1 } };

it('finds no tracer where no provider is registered', async () => {
  const load = () => Promise.reject(new Error('nothing may be imported'));
  expect(await findTracer(load)).toEqual({});
});

describe('a tracer over a registered provider', () => {
  let exporter: InMemorySpanExporter;
  let tracer: Tracer;

  beforeEach(async () => {
    exporter = new InMemorySpanExporter();
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
    tracer = (await findTracer()).tracer!;
  });

  afterEach(() => {
    trace.disable();
    context.disable();
  });

  it('says so when the package is not there', async () => {
    const { tracer: none, problem } = await findTracer(() => Promise.reject(new Error('Cannot find package')));
    expect(none).toBeUndefined();
    expect(problem).toContain('install it');
  });

  const ended = () => exporter.getFinishedSpans().length;

  it('ends a span with what it returns: a value, a promise, a stream, a promise of a stream', async () => {
    expect(tracer.span(described, () => 1)).toBe(1);
    expect(ended()).toBe(1);
    const promise = tracer.span(described, async () => 2);
    expect(ended()).toBe(1);
    await expect(promise).resolves.toBe(2);
    expect(ended()).toBe(2);
    const stream = tracer.span(described, () => of(1, 2));
    expect(ended()).toBe(2);
    await expect(lastValueFrom(stream)).resolves.toBe(2);
    expect(ended()).toBe(3);
    const later = await tracer.span(described, async () => timer(0));
    expect(ended()).toBe(3);
    await lastValueFrom(later);
    expect(ended()).toBe(4);
  });

  it.each<[string, () => unknown]>([
    [
      'thrown',
      () => {
        throw new Error('no');
      },
    ],
    ['rejected', () => Promise.reject(new Error('no'))],
    ['in a stream', () => throwError(() => new Error('no'))],
  ])('passes an error on and keeps it: %s', async (_how, work) => {
    const run = async () => {
      const result = tracer.span(described, work);
      await (result instanceof Promise ? result : lastValueFrom(result as ReturnType<typeof of>));
    };
    await expect(run()).rejects.toThrow('no');
    expect(exporter.getFinishedSpans()[0]).toMatchObject({
      attributes: { 'error.type': 'Error' },
      status: { code: 2 },
      events: [{ name: 'exception' }],
    });
  });

  it.each([null, undefined, 'text'])('survives %j being thrown', async (thrown) => {
    await expect(tracer.span(described, () => Promise.reject(thrown as unknown as Error))).rejects.toBe(thrown);
    expect(ended()).toBe(1);
  });

  it('is under the given parent, and active while it runs', () => {
    const parent = { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', tracestate: 'v=1' };
    tracer.span({ ...described, parent }, (span) => {
      expect(tracer.active()).toEqual(span.trace);
      expect(span.trace).toMatchObject({ tracestate: 'v=1' });
    });
    expect(exporter.getFinishedSpans()[0]).toMatchObject({ parentSpanContext: { spanId: 'b7ad6b7169203331' } });
    expect(tracer.active()).toBeUndefined();
  });
});
