import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Controller, Get, type INestApplication, Inject, Injectable, Module } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { context, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import { CallContexts, callLogFields, MeshModule, MessageBroker, ServiceMesh, Subscribe } from 'nestjs-mesh';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const CALLER = 'b7ad6b7169203331';
const TRACEPARENT = `00-${TRACE_ID}-${CALLER}-01`;

/** The next service: keeps the headers that it gets. */
class Upstream {
  readonly headers: IncomingMessage['headers'][] = [];
  status = 200;
  readonly #server: Server = createServer((request, response) => {
    this.headers.push(request.headers);
    response.writeHead(this.status).end('ok');
  });

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/prices?key=planted`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

let upstream: Upstream;
let app: INestApplication;
/** What log lines of each place would carry. */
let seen: Map<string, ReturnType<typeof callLogFields>>;

@Injectable()
class Steps {
  @Inject() private readonly contexts!: CallContexts;

  note(place: string): void {
    seen.set(place, callLogFields(this.contexts));
  }
}

@Controller()
class Orders {
  constructor(
    private readonly mesh: ServiceMesh,
    private readonly broker: MessageBroker,
    private readonly steps: Steps,
  ) {}

  @Get('orders')
  async list(): Promise<string> {
    this.steps.note('route');
    await this.broker.request('stock');
    return 'ok';
  }

  @Get('fails')
  async fails(): Promise<void> {
    await this.broker.request('broken');
  }

  @MessagePattern('stock')
  async stock(): Promise<number> {
    this.steps.note('handler');
    await this.mesh.fetch('http:prices', upstream.url);
    await this.broker.publish('counted', {});
    return 1;
  }

  @MessagePattern('broken')
  broken(): never {
    throw new Error('out of order');
  }
}

@Injectable()
class Listener {
  constructor(private readonly steps: Steps) {}

  @Subscribe('counted')
  onCounted(): void {
    this.steps.note('subscriber');
  }
}

async function start(platform: 'Express' | 'Fastify'): Promise<string> {
  @Module({
    imports: [
      MeshModule.forRoot({
        service: { name: 'orders' },
        logging: { level: 'silent' },
        resilience: { policies: { 'http:*': {} } },
      }),
    ],
    controllers: [Orders],
    providers: [Steps, Listener],
  })
  class App {}
  const adapter = platform === 'Express' ? new ExpressAdapter() : new FastifyAdapter();
  const module = await Test.createTestingModule({ imports: [App] }).compile();
  app = module.createNestApplication(adapter as never, { logger: false });
  await app.listen(0, '127.0.0.1');
  return app.getUrl();
}

beforeEach(async () => {
  seen = new Map();
  upstream = new Upstream();
  await upstream.start();
});

afterEach(async () => {
  await app.close();
  upstream.stop();
});

describe.each(['Express', 'Fastify'] as const)('trace context on %s', (platform) => {
  it('goes from HTTP through broker and handlers out to HTTP, and into every line, without any tracing', async () => {
    const url = await start(platform);
    await fetch(`${url}/orders`, {
      headers: { traceparent: TRACEPARENT, tracestate: 'vendor=1', 'x-correlation-id': 'corr-1' },
    });
    await expect.poll(() => seen.size).toBe(3);
    expect(upstream.headers[0]).toMatchObject({
      traceparent: TRACEPARENT,
      tracestate: 'vendor=1',
      'x-correlation-id': 'corr-1',
    });
    for (const place of ['route', 'handler', 'subscriber'])
      expect(seen.get(place)).toEqual({ correlationId: 'corr-1', traceId: TRACE_ID, spanId: CALLER });
  });

  it('is not made up where nobody traces: a caller that samples must not be overruled', async () => {
    const url = await start(platform);
    await fetch(`${url}/orders`);
    expect(upstream.headers[0]).not.toHaveProperty('traceparent');
    // Lines have a trace id all the same, made from the correlation id, and no span.
    const correlationId = upstream.headers[0]!['x-correlation-id'] as string;
    await expect.poll(() => seen.size).toBe(3);
    for (const place of ['route', 'handler', 'subscriber'])
      expect(seen.get(place)).toEqual({ correlationId, traceId: correlationId.replaceAll('-', '') });
  });

  it('is ignored when it makes no sense', async () => {
    const url = await start(platform);
    await fetch(`${url}/orders`, { headers: { traceparent: '00-planted', tracestate: 'vendor=1' } });
    expect(upstream.headers[0]).not.toHaveProperty('traceparent');
    expect(upstream.headers[0]).not.toHaveProperty('tracestate');
  });
});

describe.each(['Express', 'Fastify'] as const)('spans on %s', (platform) => {
  let exporter: InMemorySpanExporter;

  beforeEach(() => {
    exporter = new InMemorySpanExporter();
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
  });

  afterEach(() => {
    trace.disable();
    context.disable();
  });

  const finished = async (count: number) => {
    await expect.poll(() => exporter.getFinishedSpans().length).toBe(count);
    return new Map(exporter.getFinishedSpans().map((span) => [span.name, span]));
  };
  const idOf = (span: ReadableSpan | undefined) => span?.spanContext().spanId;

  it('form one trace, each under the one that caused it', async () => {
    const url = await start(platform);
    await fetch(`${url}/orders`, { headers: { traceparent: TRACEPARENT, tracestate: 'vendor=1' } });
    const spans = await finished(5);

    const under = (name: string) => spans.get(name)?.parentSpanContext?.spanId;
    expect([...spans.values()].map((span) => span.spanContext().traceId)).toEqual(Array(5).fill(TRACE_ID));
    expect(under('request stock')).toBe(CALLER);
    expect(under('handle stock')).toBe(idOf(spans.get('request stock')));
    expect(under('GET')).toBe(idOf(spans.get('handle stock')));
    expect(under('publish counted')).toBe(idOf(spans.get('handle stock')));
    expect(under('process counted')).toBe(idOf(spans.get('publish counted')));
    expect(upstream.headers[0]).toMatchObject({
      traceparent: `00-${TRACE_ID}-${idOf(spans.get('GET'))}-01`,
      tracestate: 'vendor=1',
    });
    expect(seen.get('handler')).toMatchObject({ traceId: TRACE_ID, spanId: idOf(spans.get('handle stock')) });
    expect(seen.get('subscriber')).toMatchObject({ traceId: TRACE_ID, spanId: idOf(spans.get('process counted')) });
  });

  it('say what they are, and no secret', async () => {
    const url = await start(platform);
    await fetch(`${url}/orders`);
    const spans = await finished(5);
    const kinds = [...spans].map(([name, { kind }]) => [name, SpanKind[kind]]);
    expect(Object.fromEntries(kinds)).toEqual({
      'request stock': 'CLIENT',
      'handle stock': 'SERVER',
      GET: 'CLIENT',
      'publish counted': 'PRODUCER',
      'process counted': 'CONSUMER',
    });
    expect(spans.get('GET')?.attributes).toEqual({
      'http.request.method': 'GET',
      'http.response.status_code': 200,
      'mesh.policy': 'http:prices',
      'server.address': '127.0.0.1',
      'server.port': Number(new URL(upstream.url).port),
    });
    expect(spans.get('process counted')?.attributes).toMatchObject({
      'messaging.destination.name': 'counted',
      'messaging.operation.type': 'process',
      'mesh.message.attempt': 1,
    });
    const attributes = [...spans.values()].map((span) => span.attributes);
    expect(JSON.stringify(attributes)).not.toContain('planted');
  });

  it('carry the error of what failed', async () => {
    const url = await start(platform);
    await fetch(`${url}/fails`);
    const spans = await finished(2);
    for (const span of spans.values()) {
      expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: 'out of order' });
      expect(span.attributes['error.type']).toBe('Error');
    }
  });

  it('join the one that the application has open, and its lines carry that trace', async () => {
    await start(platform);
    const { fetch: meshFetch } = app.get(ServiceMesh);
    const tracer = trace.getTracer('test');
    const own = await tracer.startActiveSpan('own', async (span) => {
      await meshFetch('http:prices', upstream.url, { headers: { 'x-own': '1' } });
      span.end();
      return span.spanContext();
    });
    const spans = await finished(2);
    expect(spans.get('GET')?.parentSpanContext?.spanId).toBe(own.spanId);
    // No call context is open here, so that the span itself has to send its headers.
    expect(upstream.headers[0]).toMatchObject({
      traceparent: `00-${own.traceId}-${idOf(spans.get('GET'))}-01`,
      'x-own': '1',
    });
  });

  it('lie within that of a request which other instrumentation has opened, and so do the lines', async () => {
    const url = await start(platform);
    // As @opentelemetry/instrumentation-http does it.
    const server = app.getHttpServer() as Server;
    const emit = server.emit.bind(server);
    const tracer = trace.getTracer('http');
    server.emit = (event: string, ...args: unknown[]) =>
      event === 'request'
        ? tracer.startActiveSpan('inbound', (span) => {
            (args[1] as ServerResponse).once('close', () => span.end());
            return emit(event, ...args);
          })
        : emit(event, ...args);

    await fetch(`${url}/orders`);
    const spans = await finished(6);
    const inbound = spans.get('inbound')!.spanContext();
    expect(spans.get('request stock')?.parentSpanContext?.spanId).toBe(inbound.spanId);
    expect(seen.get('route')).toMatchObject({ traceId: inbound.traceId, spanId: inbound.spanId });
  });

  it('of a job hold everything that it does', async () => {
    await start(platform);
    await app.get(ServiceMesh).run('count', () => app.get(MessageBroker).publish('counted', {}));
    const spans = await finished(3);
    expect(spans.get('publish counted')?.parentSpanContext?.spanId).toBe(idOf(spans.get('job count')));
    expect(seen.get('subscriber')?.traceId).toBe(spans.get('job count')?.spanContext().traceId);
  });

  it('of a message that is published outside any request reach its subscriber', async () => {
    await start(platform);
    await app.get(MessageBroker).publish('counted', {});
    const spans = await finished(2);
    expect(spans.get('process counted')?.parentSpanContext?.spanId).toBe(idOf(spans.get('publish counted')));
  });
});
