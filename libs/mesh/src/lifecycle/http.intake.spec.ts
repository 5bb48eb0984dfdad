import 'reflect-metadata';
import { request as httpRequest, Agent, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  Controller,
  Get,
  Injectable,
  Module,
  Param,
  Post,
  Res,
  Sse,
  VersioningType,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
  type MiddlewareConsumer,
  type NestInterceptor,
  type Type,
} from '@nestjs/common';
import { APP_GUARD, HttpAdapterHost, NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { Observable } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { CallContexts } from '../core/call-context.js';
import { SystemClock } from '../core/clock.js';
import { SystemIds } from '../core/ids.js';
import { MeshEvents } from '../core/mesh.events.js';
import { HttpIntake } from './http.intake.js';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

interface Seen {
  readonly where: string;
  readonly correlationId: string | undefined;
}

/** One application's intake with a gate that lets slow handlers finish, and what the host's code saw of the context. */
class Bench {
  readonly contexts = new CallContexts();
  readonly events = new MeshEvents();
  readonly intake = new HttpIntake({
    contexts: this.contexts,
    clock: new SystemClock(),
    ids: new SystemIds(),
    events: this.events,
  });
  readonly seen: Seen[] = [];
  readonly entered = Promise.withResolvers<void>();
  readonly gate = Promise.withResolvers<void>();

  see(where: string): void {
    this.seen.push({ where, correlationId: this.contexts.current()?.correlationId });
  }
}

/** The ways to answer past the framework. */
const rawAnswers = {
  end: (response: ServerResponse) => void response.end('x'),
  object: (response: ServerResponse) => void response.writeHead(200, { 'content-type': 'text/plain' }).end('x'),
  reason: (response: ServerResponse) => void response.writeHead(200, 'Fine', { 'content-type': 'text/plain' }).end('x'),
  list: (response: ServerResponse) => void response.writeHead(200, ['content-type', 'text/plain']).end('x'),
  own: (response: ServerResponse) => void response.writeHead(200, { 'X-Correlation-Id': 'own' }).end('x'),
  'own-set': (response: ServerResponse) => void response.setHeader('X-Correlation-Id', 'own').end('x'),
  set: (response: ServerResponse) => void response.setHeader('content-type', 'text/plain').end('x'),
};

function hostModule(bench: Bench, { refuseAll = false } = {}): Type {
  @Injectable()
  class SeeingGuard implements CanActivate {
    canActivate(): boolean {
      bench.see('guard');
      return !refuseAll;
    }
  }

  @Injectable()
  class SeeingInterceptor implements NestInterceptor {
    intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
      bench.see('interceptor');
      return next.handle();
    }
  }

  @Controller()
  class HostController {
    @Get('seen')
    seen(): object {
      bench.see('handler');
      return bench.contexts.current() ?? {};
    }

    @Post('seen')
    async seenAfterBody(): Promise<object> {
      await Promise.resolve();
      return bench.contexts.current() ?? {};
    }

    @Get('raw/:how')
    raw(@Param('how') how: keyof typeof rawAnswers, @Res() response: ServerResponse & { raw?: ServerResponse }): void {
      rawAnswers[how](response.raw ?? response);
    }

    @Get('metrics')
    metrics(): string {
      return 'the host’s own';
    }

    @Get('slow')
    async slow(): Promise<object> {
      bench.entered.resolve();
      await bench.gate.promise;
      return { slow: true };
    }

    @Sse('ticks')
    ticks(): Observable<{ data: string }> {
      return new Observable((subscriber) => {
        const timer = setInterval(() => subscriber.next({ data: 'tick' }), 1);
        return () => clearInterval(timer);
      });
    }
  }

  @Module({
    controllers: [HostController],
    providers: [
      { provide: APP_GUARD, useClass: SeeingGuard },
      { provide: 'INTERCEPTOR', useClass: SeeingInterceptor },
    ],
  })
  class HostModule {
    constructor(host: HttpAdapterHost) {
      bench.intake.install(host);
    }

    configure(consumer: MiddlewareConsumer): void {
      consumer
        .apply((_request: unknown, _response: unknown, next: () => void) => (bench.see('middleware'), next()))
        .forRoutes('*path');
    }
  }
  Reflect.defineMetadata('__interceptors__', [SeeingInterceptor], HostController);
  return HostModule;
}

const adapters = { express: () => new ExpressAdapter(), fastify: () => new FastifyAdapter() };
const agent = new Agent({ keepAlive: true });

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

function portOf(app: INestApplication): number {
  return ((app.getHttpServer() as Server).address() as AddressInfo).port;
}

function call(
  app: INestApplication,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const port = portOf(app);
  const { method = 'GET', headers = {}, body } = options;
  return new Promise((resolve, reject) => {
    const request = httpRequest({ port, path, method, headers, agent }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: text }));
      response.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

describe.each(['express', 'fastify'] as const)('HttpIntake on %s', (platform) => {
  let app: INestApplication | undefined;

  afterEach(async () => {
    agent.destroy();
    (app?.getHttpServer() as Server | undefined)?.closeAllConnections();
    await app?.close();
    app = undefined;
  });

  async function boot(
    bench: Bench,
    options: { refuseAll?: boolean; configure?: (app: INestApplication) => void } = {},
  ): Promise<INestApplication> {
    app = await NestFactory.create(hostModule(bench, options), adapters[platform](), { logger: false });
    options.configure?.(app);
    await app.listen(0, '127.0.0.1');
    return app;
  }

  it('opens one context for middleware, guards, interceptors and the handler', async () => {
    const bench = new Bench();
    await boot(bench);
    const answer = await call(app!, '/seen', { headers: { 'x-correlation-id': 'order-42' } });
    expect(bench.seen.map(({ where }) => where)).toEqual(['middleware', 'guard', 'interceptor', 'handler']);
    expect(new Set(bench.seen.map(({ correlationId }) => correlationId))).toEqual(new Set(['order-42']));
    expect(answer.headers['x-correlation-id']).toBe('order-42');
  });

  it('keeps the context over the reading of a body', async () => {
    const bench = new Bench();
    await boot(bench);
    const headers = { 'content-type': 'application/json', 'x-request-id': 'from-proxy' };
    const answer = await call(app!, '/seen', { method: 'POST', headers, body: '{"a":1}' });
    expect(JSON.parse(answer.body)).toMatchObject({ correlationId: 'from-proxy' });
  });

  it('carries trace context and deadline, and makes a new id in the place of a senseless one', async () => {
    const bench = new Bench();
    await boot(bench);
    const before = Date.now();
    const answer = await call(app!, '/seen', {
      headers: {
        'x-correlation-id': 'a b\tc',
        traceparent: TRACEPARENT,
        tracestate: 'a=1',
        'x-mesh-timeout-ms': '1500',
      },
    });
    const context = JSON.parse(answer.body) as Record<string, unknown>;
    expect(context).toMatchObject({ traceparent: TRACEPARENT, tracestate: 'a=1' });
    expect(context['deadlineAt']).toBeGreaterThanOrEqual(before + 1_500);
    expect(context['correlationId']).toMatch(/^[\da-f-]{36}$/);
    expect(answer.headers['x-correlation-id']).toBe(context['correlationId']);
  });

  it.each(['end', 'object', 'reason', 'list', 'set'])(
    'puts the correlation id on an answer past the framework: %s',
    async (how) => {
      await boot(new Bench());
      const answer = await call(app!, `/raw/${how}`, { headers: { 'x-correlation-id': 'order-42' } });
      expect(answer).toMatchObject({ status: 200, body: 'x', headers: { 'x-correlation-id': 'order-42' } });
      expect(answer.headers['content-type']).toBe(how === 'end' ? undefined : 'text/plain');
    },
  );

  it('leaves alone a correlation id that the host answers with', async () => {
    await boot(new Bench());
    for (const how of ['own', 'own-set']) {
      const answer = await call(app!, `/raw/${how}`);
      expect(answer.headers['x-correlation-id']).toBe('own');
    }
  });

  it('gives 50 parallel requests 50 contexts', async () => {
    const bench = new Bench();
    await boot(bench);
    const ids = Array.from({ length: 50 }, (_, index) => `id-${index}`);
    const answers = await Promise.all(ids.map((id) => call(app!, '/seen', { headers: { 'x-correlation-id': id } })));
    expect(answers.map(({ body }) => (JSON.parse(body) as { correlationId: string }).correlationId)).toEqual(ids);
  });

  it('tells its observers of each request with its context: route template, status and time, 499 for a client that left', async () => {
    const bench = new Bench();
    const told: unknown[] = [];
    bench.intake.addObserver({
      requestFinished: ({ method, route, status, durationMs }, { correlationId }) =>
        told.push([method, route, status, durationMs > 0, correlationId]),
    });
    bench.intake.addRoute({ method: 'GET', path: '/health/live', handle: () => ({ status: 200, body: '' }) });
    await boot(bench);
    await call(app!, '/seen', { headers: { 'x-correlation-id': 'a' } });
    await call(app!, '/nowhere/7', { headers: { 'x-correlation-id': 'b' } });
    await call(app!, '/health/live');
    const leaving = httpRequest({ port: portOf(app!), path: '/slow', headers: { 'x-correlation-id': 'c' } });
    leaving.on('error', () => undefined).end();
    await bench.entered.promise;
    leaving.destroy();
    while (bench.intake.inFlight > 0) await new Promise((resolve) => setImmediate(resolve));
    bench.gate.resolve();
    expect(told).toEqual([
      ['GET', '/seen', 200, true, 'a'],
      ['GET', undefined, 404, true, 'b'],
      ['GET', '/slow', 499, true, 'c'],
    ]);
  });

  it('answers raw routes under a global prefix, versioning and a guard that refuses everything', async () => {
    const bench = new Bench();
    bench.intake.addRoute({
      method: 'GET',
      path: '/health/live',
      handle: ({ query }) => ({ status: 200, body: JSON.stringify({ verbose: query.get('verbose') }) }),
    });
    await boot(bench, {
      refuseAll: true,
      configure: (host) => {
        host.setGlobalPrefix('api');
        host.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
      },
    });
    const live = await call(app!, '/health/live?verbose=1');
    expect(live).toMatchObject({ status: 200, body: '{"verbose":"1"}' });
    expect(live.headers['content-type']).toBe('application/json; charset=utf-8');
    expect((await call(app!, '/health/live/')).status).toBe(200);
    expect(await call(app!, '/health/live', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
    expect((await call(app!, '/health/live', { method: 'POST' })).status).toBe(404);
    expect((await call(app!, '/api/v1/seen')).status).toBe(403);
  });

  it('wins over a controller of the host on the same path, which still boots', async () => {
    const bench = new Bench();
    bench.intake.addRoute({ method: 'GET', path: '/metrics', handle: () => ({ status: 200, body: 'ours' }) });
    await boot(bench);
    expect((await call(app!, '/metrics')).body).toBe('ours');
  });

  it('answers 500 for a raw route that throws, tells the bus, and serves on', async () => {
    const bench = new Bench();
    const failed: unknown[] = [];
    bench.events.on('http.raw-route-failed', ({ path, error }) => failed.push([path, error]));
    const error = new Error('no snapshot');
    bench.intake.addRoute({ method: 'GET', path: '/broken', handle: () => Promise.reject(error) });
    await boot(bench);
    expect(await call(app!, '/broken')).toMatchObject({
      status: 500,
      body: '{"statusCode":500,"message":"Internal server error"}',
    });
    expect(failed).toEqual([['/broken', error]]);
    expect((await call(app!, '/seen')).status).toBe(200);
  });

  it('keeps a request hook that the host sets before and one that it sets after', async () => {
    const bench = new Bench();
    const calls: string[] = [];
    const adapter = adapters[platform]();
    adapter.setOnRequestHook((_request: unknown, _response: unknown, done: () => void) => {
      calls.push(`before ${bench.contexts.current() !== undefined}`);
      done();
    });
    app = await NestFactory.create(hostModule(bench), adapter, { logger: false });
    await app.listen(0, '127.0.0.1');
    await call(app, '/seen');
    adapter.setOnRequestHook(async (_request: unknown, _response: unknown, done: () => void) => {
      await Promise.resolve();
      calls.push(`after ${bench.contexts.current() !== undefined}`);
      done();
    });
    await call(app, '/seen');
    expect(calls).toEqual(['before true', 'after true']);
    expect(bench.seen.every(({ correlationId }) => correlationId !== undefined)).toBe(true);
  });

  it('works in an application of @nestjs/testing', async () => {
    const bench = new Bench();
    const testing = await Test.createTestingModule({ imports: [hostModule(bench)] }).compile();
    app = testing.createNestApplication(adapters[platform](), { logger: false });
    await app.listen(0, '127.0.0.1');
    const answer = await call(app, '/seen', { headers: { 'x-correlation-id': 'tested' } });
    expect(JSON.parse(answer.body)).toMatchObject({ correlationId: 'tested' });
  });

  it('lets a request in flight finish, asks its client to reconnect, and refuses new connections', async () => {
    const bench = new Bench();
    await boot(bench);
    const slow = call(app!, '/slow');
    await bench.entered.promise;
    expect(bench.intake.inFlight).toBe(1);
    bench.intake.stopIntake();
    const drained = bench.intake.drained(new AbortController().signal);
    bench.gate.resolve();
    const answer = await slow;
    expect(answer).toMatchObject({ status: 200, body: '{"slow":true}' });
    expect(answer.headers['connection']).toBe('close');
    await drained;
    expect(bench.intake.inFlight).toBe(0);
    expect((app!.getHttpServer() as Server).listening).toBe(false);
  });

  it('ends an open event stream at the drain, with a hint to come back', async () => {
    const bench = new Bench();
    await boot(bench);
    const port = portOf(app!);
    const opened = Promise.withResolvers<IncomingMessage>();
    httpRequest({ port, path: '/ticks', agent }, (response) => opened.resolve(response)).end();
    const stream = await opened.promise;
    let text = '';
    const ended = new Promise<void>((resolve) => stream.on('end', resolve));
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    bench.intake.stopIntake();
    await bench.intake.drained(new AbortController().signal);
    await ended;
    expect(text).toMatch(/retry: 1000\n\n$/);
  });

  it('closes what is left when the drain is given up', async () => {
    const bench = new Bench();
    await boot(bench);
    const slow = call(app!, '/slow');
    slow.catch(() => undefined);
    await bench.entered.promise;
    bench.intake.stopIntake();
    const limit = new AbortController();
    const drained = bench.intake.drained(limit.signal);
    limit.abort(new Error('too long'));
    await expect(drained).rejects.toThrow('too long');
    bench.intake.abort();
    await expect(slow).rejects.toThrow();
    bench.gate.resolve();
  });
});
