import {
  type CallHandler,
  Controller,
  type ExecutionContext,
  Get,
  Header,
  HttpCode,
  type INestApplication,
  type NestInterceptor,
  NotFoundException,
  Param,
  Post,
  Query,
  Req,
  ServiceUnavailableException,
  StreamableFile,
  UseGuards,
} from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { Readable } from 'node:stream';
import { map } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CacheFixture } from '../../../../../test/cache/cache.fixture.js';
import { MESH_RUNTIME } from '../../core/method-advice.js';
import { cacheSchema } from '../cache.options.js';
import { HttpCache } from './http-cache.decorator.js';

interface Caller {
  readonly headers: Readonly<Record<string, string | undefined>>;
}

/** Keeps its password from everybody as class-transformer's `@Exclude` would: what is sent is not what the handler gave. */
class User {
  constructor(
    readonly name: string,
    readonly password: string,
  ) {}
}

class HidePasswords implements NestInterceptor {
  intercept(_: ExecutionContext, next: CallHandler) {
    return next.handle().pipe(map((value) => (value instanceof User ? { data: { name: value.name } } : value)));
  }
}

let runs = 0;
/** What the news wait for, and what keeps them from coming. */
let newsroom: PromiseWithResolvers<void> | undefined;
let trouble: Error | undefined;

@Controller()
class Pages {
  @Get('public/:id')
  @HttpCache({ ttlMs: 10_000, tags: ['pages'] })
  page(@Param('id') id: string, @Query('q') q?: string) {
    return { id, q, run: ++runs };
  }

  @Get('me')
  @HttpCache()
  me(@Req() request: Caller) {
    return { me: request.headers['authorization'] ?? 'nobody', run: ++runs };
  }

  @Get('known')
  @UseGuards({
    canActivate: (context: ExecutionContext) => {
      const request = context.switchToHttp().getRequest<Caller & { user?: unknown }>();
      request.user = request.headers['x-tenant'];
      return true;
    },
  })
  @HttpCache()
  known(@Req() request: Caller & { user?: unknown }) {
    return { user: request.user, run: ++runs };
  }

  @Get('mine')
  @HttpCache({ scope: 'private', principal: (request: Caller) => request.headers['authorization'] })
  mine(@Req() request: Caller) {
    return { me: request.headers['authorization'] ?? 'nobody', run: ++runs };
  }

  @Get('secret')
  @Header('Cache-Control', 'private, no-store')
  @HttpCache()
  secret() {
    return { run: ++runs };
  }

  @Get('cookie')
  @Header('Set-Cookie', 'session=1')
  @HttpCache()
  cookie() {
    return { run: ++runs };
  }

  @Get('user')
  @HttpCache()
  user() {
    runs++;
    return new User('ann', 'HASH');
  }

  @Get('language')
  @HttpCache({ varyBy: ['Accept-Language'] })
  language(@Req() request: Caller) {
    return { language: request.headers['accept-language'], run: ++runs };
  }

  @Get('origin')
  @Header('Vary', 'Origin')
  @HttpCache()
  origin() {
    return { run: ++runs };
  }

  @Get('languages')
  @Header('Vary', 'Origin')
  @HttpCache({ varyBy: ['Accept-Language'] })
  languages() {
    return { run: ++runs };
  }

  @Get('accepted')
  @HttpCode(203)
  @Header('Link', '</next>; rel="next"')
  @HttpCache()
  accepted() {
    return `text ${++runs}`;
  }

  @Get('broken')
  @HttpCache()
  broken() {
    runs++;
    throw new Error('broken');
  }

  @Get('file')
  @HttpCache()
  file() {
    return new StreamableFile(Buffer.from(`file ${++runs}`));
  }

  @Get('endless')
  @HttpCache()
  endless() {
    const pages = async function* () {
      yield 'begin';
      await newsroom?.promise;
      yield 'end';
    };
    return new StreamableFile(Readable.from(pages()));
  }

  @Get('fixed')
  @HttpCache()
  fixed() {
    runs++;
    return 'fixed';
  }

  @Get('news')
  @HttpCache({ ttlMs: 1_000, staleWhileRevalidateMs: 5_000, staleIfErrorMs: 60_000 })
  async news() {
    const run = ++runs;
    await newsroom?.promise;
    if (trouble) throw trouble;
    return { run };
  }

  @Get('strict')
  @Header('Cache-Control', 'max-age=1, must-revalidate')
  @HttpCache({ staleIfErrorMs: 60_000 })
  strict() {
    runs++;
    if (trouble) throw trouble;
    return { run: runs };
  }

  @Get('slow')
  @HttpCache()
  async slow() {
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    return { run: ++runs };
  }

  @Post('public/:id')
  @HttpCache()
  write() {
    return { run: ++runs };
  }
}

describe.each(['express', 'fastify'])('@HttpCache on %s', (platform) => {
  let app: INestApplication;
  let fixture: CacheFixture;
  let url: string;

  beforeEach(async () => {
    runs = 0;
    newsroom = undefined;
    trouble = undefined;
    fixture = new CacheFixture({ jitterRatio: 0 });
    const module = await Test.createTestingModule({
      controllers: [Pages],
      providers: [
        { provide: MESH_RUNTIME, useValue: fixture.runtime },
        { provide: APP_INTERCEPTOR, useClass: HidePasswords },
      ],
    }).compile();
    app =
      platform === 'fastify'
        ? module.createNestApplication(new FastifyAdapter(), { logger: false })
        : module.createNestApplication({ logger: false });
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  });
  afterEach(() => app.close());

  const get = async (path: string, headers: Record<string, string> = {}, method = 'GET') => {
    const response = await fetch(`${url}${path}`, { method, headers });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text };
  };

  it('answers the second request from the cache, with its age, and again from the handler after the ttl', async () => {
    const first = await get('/public/1');
    expect(first.headers.get('cache-status')).toBe('nestjs-mesh; fwd=miss');
    await fixture.clock.advance(3_000);
    const second = await get('/public/1');
    expect(second.text).toBe(first.text);
    expect(second.headers.get('cache-status')).toBe('nestjs-mesh; hit');
    expect(second.headers.get('age')).toBe('3');
    expect(second.headers.get('content-type')).toBe(first.headers.get('content-type'));
    await fixture.clock.advance(7_001);
    expect((await get('/public/1')).text).toContain('"run":2');
  });

  it('tells paths and queries apart, whatever the order of the parameters', async () => {
    const texts = [
      await get('/public/1?q=a&x=1'),
      await get('/public/1?x=1&q=a'),
      await get('/public/1?q=b'),
      await get('/public/2'),
    ];
    expect(texts.map(({ text }) => JSON.parse(text).run)).toEqual([1, 1, 2, 3]);
  });

  it('lets requests with credentials past, so that nobody gets the answer of somebody else', async () => {
    expect((await get('/me', { authorization: 'ann' })).text).toContain('ann');
    expect((await get('/me', { authorization: 'bob' })).text).toContain('bob');
    expect((await get('/me')).text).toContain('nobody');
    expect((await get('/me', { cookie: 'session=1' })).text).toContain('"run":4');
    expect((await get('/me', { 'x-api-key': 'k' })).text).toContain('"run":5');
  });

  it('lets requests past whose user a guard has found out by other means', async () => {
    const known = async (tenant: string) => JSON.parse((await get('/known', { 'x-tenant': tenant })).text);
    expect([await known('ann'), await known('bob')]).toEqual([
      { user: 'ann', run: 1 },
      { user: 'bob', run: 2 },
    ]);
  });

  it('keeps one answer a principal in the private scope, and none for nobody', async () => {
    const mine = async (authorization: string) => JSON.parse((await get('/mine', { authorization })).text);
    expect([await mine('ann'), await mine('bob'), await mine('ann')]).toEqual([
      { me: 'ann', run: 1 },
      { me: 'bob', run: 2 },
      { me: 'ann', run: 1 },
    ]);
    expect([(await get('/mine')).text, (await get('/mine')).text].map((text) => JSON.parse(text).run)).toEqual([3, 4]);
  });

  it.each(['/secret', '/cookie', '/origin', '/file', '/broken'])('does not keep the response of %s', async (path) => {
    await get(path);
    await get(path);
    expect(runs).toBe(2);
  });

  it('keeps what was sent, after the interceptors, and not what the handler returned', async () => {
    const expected = '{"data":{"name":"ann"}}';
    expect([(await get('/user')).text, (await get('/user')).text]).toEqual([expected, expected]);
    expect(runs).toBe(1);
  });

  it('keeps one answer a header that varyBy names, and says so', async () => {
    const inLanguage = (language: string) => get('/language', { 'accept-language': language });
    const answers = [await inLanguage('de'), await inLanguage('en'), await inLanguage('de')];
    expect(answers.map(({ text }) => JSON.parse(text).run)).toEqual([1, 2, 1]);
    expect(answers.map(({ headers }) => headers.get('vary'))).toEqual(Array(3).fill('Accept-Language'));
  });

  it('leaves standing what else the response depends on, and keeps nothing that it can not tell apart', async () => {
    expect((await get('/languages')).headers.get('vary')).toBe('Origin, Accept-Language');
    expect((await get('/languages')).text).toContain('"run":2');
  });

  it('keeps status and headers', async () => {
    await get('/accepted');
    const hit = await get('/accepted');
    expect(hit).toMatchObject({ status: 203, text: 'text 1' });
    expect(hit.headers.get('link')).toBe('</next>; rel="next"');
  });

  it('answers 304 to whoever has the same', async () => {
    await get('/public/1');
    const etag = (await get('/public/1')).headers.get('etag')!;
    // fetch asks for "no-cache" by itself where a condition is given and nothing else is said.
    const asking = (condition: string) =>
      get('/public/1', { 'if-none-match': condition, 'cache-control': 'max-age=60' });
    const unchanged = await asking(`"other", ${etag}`);
    expect(unchanged).toMatchObject({ status: 304, text: '' });
    expect(unchanged.headers.get('etag')).toBe(etag);
    expect((await asking('"other"')).status).toBe(200);
  });

  it('keeps the response although the first to ask has it already', async () => {
    const etag = (await get('/fixed')).headers.get('etag') ?? '"none"';
    await fixture.clock.advance(31_000);
    const asking = () => get('/fixed', { 'if-none-match': etag, 'cache-control': 'max-age=60' });
    await asking();
    await asking();
    expect(runs).toBe(2);
    expect((await get('/fixed')).text).toBe('fixed');
  });

  it('holds up nobody for a stream that another one is still reading', async () => {
    newsroom = Promise.withResolvers();
    const responses = await Promise.all([fetch(`${url}/endless`), fetch(`${url}/endless`)]);
    const readers = responses.map(({ body }) => body!.getReader());
    const first = await Promise.all(readers.map((reader) => reader.read()));
    expect(first.map(({ value }) => Buffer.from(value!).toString())).toEqual(['begin', 'begin']);
    newsroom.resolve();
    await Promise.all(readers.map((reader) => reader.read()));
  });

  it('does what the request asks of a cache', async () => {
    expect((await get('/public/1', { 'cache-control': 'only-if-cached' })).status).toBe(504);
    await get('/public/1');
    expect((await get('/public/1', { 'cache-control': 'no-cache' })).text).toContain('"run":2');
    expect((await get('/public/1')).text).toContain('"run":2');
    expect((await get('/public/1', { 'cache-control': 'no-store' })).text).toContain('"run":3');
    await fixture.clock.advance(5_000);
    expect((await get('/public/1', { 'cache-control': 'max-age=6' })).text).toContain('"run":2');
    expect((await get('/public/1', { 'cache-control': 'max-age=4' })).text).not.toContain('"run":3');
  });

  it('answers HEAD from what GET left, and leaves other methods alone', async () => {
    await get('/public/1');
    const head = await get('/public/1', {}, 'HEAD');
    expect(head).toMatchObject({ status: 200, text: '' });
    // It may be left out, but is never that of another body.
    expect(head.headers.get('content-length') ?? '18').toBe('18');
    await get('/public/1', {}, 'POST');
    await get('/public/1', {}, 'POST');
    expect(runs).toBe(3);
  });

  it('runs the handler once for requests of the same moment', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => get('/slow')));
    expect(new Set(answers.map(({ text }) => text))).toEqual(new Set(['{"run":1}']));
  });

  it('keeps no answer of the request after which it was too old for another', async () => {
    await get('/public/7');
    await fixture.clock.advance(5_000);
    const fresh = await get('/public/7', { 'cache-control': 'max-age=2' });
    expect(fresh.headers.get('cache-status')).toBe('nestjs-mesh; fwd=request');
    expect((await get('/public/7')).text).toBe(fresh.text);
  });

  it('answers with the stale response while one request renews it, where that is declared', async () => {
    const old = await get('/news');
    await fixture.clock.advance(3_000);
    newsroom = Promise.withResolvers();
    const renewing = get('/news');
    await vi.waitFor(() => expect(runs).toBe(2));
    const meanwhile = await get('/news');
    expect(meanwhile.text).toBe(old.text);
    expect(meanwhile.headers.get('cache-status')).toBe('nestjs-mesh; hit; ttl=-2');
    expect(meanwhile.headers.get('age')).toBe('3');
    newsroom.resolve();
    expect((await renewing).text).toBe('{"run":2}');
    expect((await get('/news')).text).toBe('{"run":2}');
    expect(runs).toBe(2);
  });

  it('lets those who come later than that wait for the new response', async () => {
    await get('/news');
    await fixture.clock.advance(6_001);
    newsroom = Promise.withResolvers();
    const both = Promise.all([get('/news'), get('/news')]);
    await vi.waitFor(() => expect(runs).toBe(2));
    newsroom.resolve();
    expect((await both).map(({ text }) => text)).toEqual(['{"run":2}', '{"run":2}']);
  });

  it('answers with the stale response when the handler fails, where that is declared, and keeps it no longer for that', async () => {
    const old = await get('/news');
    trouble = new ServiceUnavailableException();
    await fixture.clock.advance(30_000);
    for (const age of ['30', '50']) {
      const failed = await get('/news');
      expect(failed).toMatchObject({ status: 200, text: old.text });
      expect(failed.headers.get('cache-status')).toBe('nestjs-mesh; fwd=stale; detail=stale-if-error');
      expect(failed.headers.get('age')).toBe(age);
      await fixture.clock.advance(20_000);
    }
    expect((await get('/news')).status).toBe(503);
  });

  it('hides no mistake of the caller behind a stale response, and none where the response forbids it', async () => {
    await get('/news');
    await get('/strict');
    await fixture.clock.advance(2_000);
    trouble = new NotFoundException();
    expect((await get('/news')).status).toBe(404);
    trouble = new Error('broken');
    expect((await get('/strict')).status).toBe(500);
  });

  it('keeps that nothing is there, but no failure of the server', async () => {
    for (const [error, status, runsAgain] of [
      [new NotFoundException(), 404, false],
      [new ServiceUnavailableException(), 503, true],
    ] as const) {
      const path = `/news?error=${status}`;
      trouble = error;
      expect((await get(path)).status).toBe(status);
      trouble = undefined;
      expect((await get(path)).status).toBe(runsAgain ? 200 : status);
    }
  });

  it('goes by the configuration of its namespace before its own ttl', async () => {
    fixture.options.set(cacheSchema.parse({ jitterRatio: 0, namespaces: { http: { ttlMs: 1_000 } } }));
    await get('/public/8');
    await fixture.clock.advance(1_000);
    expect((await get('/public/8')).headers.get('cache-status')).toBe('nestjs-mesh; fwd=miss');
  });

  it('forgets by tag', async () => {
    await get('/public/1');
    await fixture.cache.namespace('http').deleteByTag('pages');
    expect((await get('/public/1')).text).toContain('"run":2');
  });
});

describe('@HttpCache', () => {
  it('refuses a private scope without a principal, and a principal without one', () => {
    expect(() => HttpCache({ scope: 'private' })).toThrow('belong together');
    expect(() => HttpCache({ principal: () => 'x' })).toThrow('belong together');
  });
});
