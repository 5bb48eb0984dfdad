import { setTimeout as sleep } from 'node:timers/promises';
import {
  Controller,
  Get,
  Global,
  HttpException,
  Injectable,
  Module,
  VersioningType,
  type CanActivate,
  type DynamicModule,
  type INestApplication,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
  type Type,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { HealthCheck, HealthCheckService, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { MetricsClient } from '../../../libs/mesh/src/core/metrics.port.js';
import { HealthAggregator } from '../../../libs/mesh/src/health/health.aggregator.js';
import { HealthContributor } from '../../../libs/mesh/src/health/health-contributor.decorator.js';
import { fromTerminus } from '../../../libs/mesh/src/health/terminus.adapter.js';
import { HealthOnlyModule } from './health-only.module.js';

const SECRET = 'pl4nted-s3cret';

@Injectable()
class Ledger {
  pings = 0;
  failure: Error | undefined;

  @HealthContributor('ledger', { groups: { ready: 'required', deep: 'required' } })
  ping(): void {
    this.pings++;
    if (this.failure) throw this.failure;
  }
}

/** Lets nobody in, and counts who tried. */
@Injectable()
class NobodyGuard implements CanActivate {
  canActivate(): boolean {
    return false;
  }
}

/** As @nestjs/throttler: a global guard that refuses the third call. */
@Injectable()
class ThrottlerLikeGuard implements CanActivate {
  #calls = 0;

  canActivate(): boolean {
    if (++this.#calls > 2) throw new HttpException('Too Many Requests', 429);
    return true;
  }
}

@Controller({ path: 'health', version: '1' })
class HostHealthController {
  constructor(
    private readonly terminus: HealthCheckService,
    private readonly indicators: HealthIndicatorService,
    private readonly health: HealthAggregator,
  ) {}

  @Get()
  @HealthCheck()
  check() {
    return this.terminus.check([
      () => this.health.indicator('ready'),
      () => this.indicators.check('disk').up({ free: 1 }),
    ]);
  }
}

const platforms = { Express: () => new ExpressAdapter(), Fastify: () => new FastifyAdapter() };

describe.each(Object.entries(platforms))('health probes on %s', (_platform, createAdapter) => {
  const apps: INestApplication[] = [];

  async function start(
    imports: (Type | DynamicModule)[],
    configure: (app: INestApplication) => void = () => undefined,
  ): Promise<{ app: INestApplication; get: (path: string, init?: RequestInit) => Promise<Response> }> {
    const module = await Test.createTestingModule({ imports }).compile();
    const app = module.createNestApplication<NestFastifyApplication>(createAdapter(), { logger: false });
    configure(app);
    await app.listen(0, '127.0.0.1');
    apps.push(app);
    const url = await app.getUrl();
    return { app, get: (path, init) => fetch(url + path, init) };
  }

  afterEach(async () => {
    await Promise.all(apps.splice(0).map((app) => app.close()));
  });

  @Module({ providers: [Ledger], exports: [Ledger] })
  class LedgerModule {}

  it('answers in the words of Terminus', async () => {
    const { app, get } = await start([HealthOnlyModule.forRoot({ details: 'always' }), LedgerModule]);
    const health = app.get(HealthAggregator);
    const up = await get('/health/ready');
    expect([up.status, await up.json()]).toEqual([
      200,
      { status: 'ok', info: { ledger: { status: 'up' } }, error: {}, details: { ledger: { status: 'up' } } },
    ]);

    health.addSource('breaker', { readHealth: () => [{ name: 'pay', status: 'degraded', reason: 'open' }] });
    const degraded = await get('/health/ready');
    expect([degraded.status, await degraded.json()]).toMatchObject([
      200,
      { status: 'degraded', info: { 'breaker:pay': { status: 'degraded', reason: 'open' } } },
    ]);

    health.update('ledger', { status: 'down', reason: 'gone' });
    const down = await get('/health/ready');
    expect(down.headers.get('retry-after')).toBe('10');
    expect(down.headers.get('cache-control')).toBe('no-store');
    expect([down.status, await down.json()]).toMatchObject([
      503,
      { status: 'error', error: { ledger: { status: 'down', reason: 'gone' } } },
    ]);
    expect((await get('/health/live')).status).toBe(200);
  });

  it('cannot be broken by the prefix, the versions, the guards and the throttler of the host', async () => {
    @Module({
      providers: [
        { provide: APP_GUARD, useClass: ThrottlerLikeGuard },
        { provide: APP_GUARD, useClass: NobodyGuard },
      ],
    })
    class StrictModule {}
    const { get } = await start([HealthOnlyModule.forRoot(), StrictModule], (app) => {
      app.setGlobalPrefix('api');
      app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
    });
    for (const path of ['/health/live', '/health/ready', '/health/startup']) {
      for (let i = 0; i < 4; i++) expect((await get(path)).status).toBe(200);
      expect((await get(path, { method: 'HEAD' })).status).toBe(200);
    }
  });

  it.each([
    ['as it is', TerminusModule],
    ['with its own settings', TerminusModule.forRoot({ errorLogStyle: 'pretty', logger: false })],
    ['with the settings of the mesh', TerminusModule.forRoot({ logger: false, gracefulShutdownTimeoutMs: 0 })],
  ])('boots beside a TerminusModule of the host, %s, and serves its controller', async (_how, terminus) => {
    @Module({ imports: [terminus], controllers: [HostHealthController] })
    class HostHealthModule {}
    const { app, get } = await start([HealthOnlyModule.forRoot(), LedgerModule, HostHealthModule], (host) => {
      host.setGlobalPrefix('api');
      host.enableVersioning({ type: VersioningType.URI });
    });
    const up = await get('/api/v1/health');
    expect([up.status, await up.json()]).toEqual([
      200,
      {
        status: 'ok',
        info: { ledger: { status: 'up' }, disk: { status: 'up', free: 1 } },
        error: {},
        details: { ledger: { status: 'up' }, disk: { status: 'up', free: 1 } },
      },
    ]);
    app.get(HealthAggregator).update('ledger', { status: 'down', reason: 'gone' });
    const down = await get('/api/v1/health');
    expect([down.status, await down.json()]).toMatchObject([503, { error: { ledger: { reason: 'gone' } } }]);
    expect((await get('/health/ready')).status).toBe(503);
  });

  it('asks no dependency for fifty probes at once', async () => {
    const { app, get } = await start([HealthOnlyModule.forRoot(), LedgerModule]);
    const ledger = app.get(Ledger);
    const before = ledger.pings;
    const answers = await Promise.all(Array.from({ length: 50 }, () => get('/health/ready')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(ledger.pings).toBe(before);
  });

  it('takes a wrapped Terminus indicator out of the way of probes', async () => {
    const { app, get } = await start([HealthOnlyModule.forRoot({ details: 'always' }), TerminusModule]);
    const indicators = app.get(HealthIndicatorService, { strict: false });
    let asked = 0;
    const health = app.get(HealthAggregator);
    health.register(
      fromTerminus(
        'search',
        () =>
          indicators.check('search').attempt(() => {
            asked++;
            throw new Error('no shard');
          }),
        { groups: { ready: 'required' } },
      ),
    );
    await health.checkNow('search');
    for (let i = 0; i < 5; i++) await get('/health/ready');
    expect(asked).toBe(1);
    expect(await (await get('/health/ready')).json()).toMatchObject({
      status: 'error',
      error: { search: { status: 'down', reason: 'no shard' } },
    });
  });

  it('is probed like a pod from its first port to its last', async () => {
    const order: string[] = [];
    @Injectable()
    class SlowWork implements OnApplicationBootstrap, OnModuleDestroy {
      onApplicationBootstrap(): void {
        order.push('bootstrapped');
      }

      async onModuleDestroy(): Promise<void> {
        await sleep(300);
        order.push('work ended');
      }
    }
    @Global()
    @Module({ providers: [SlowWork] })
    class WorkModule {}
    const { app, get } = await start([HealthOnlyModule.forRoot({ details: 'always' }), LedgerModule, WorkModule]);
    const probe = async () => {
      const answers = await Promise.all(['live', 'ready', 'startup'].map((group) => get(`/health/${group}`)));
      return { codes: answers.map(({ status }) => status), ready: (await answers[1]!.json()) as { status: string } };
    };
    expect(await probe()).toMatchObject({ codes: [200, 200, 200], ready: { status: 'ok' } });

    const health = app.get(HealthAggregator);
    health.setUnready('reindexing');
    expect(await probe()).toMatchObject({ codes: [200, 503, 200], ready: { status: 'error' } });
    health.setReady();

    health.setPhase('draining');
    const closed = app.close();
    apps.splice(apps.indexOf(app), 1);
    for (let i = 0; i < 5; i++) {
      expect(await probe()).toMatchObject({ codes: [200, 503, 200], ready: { status: 'shutting_down' } });
      await sleep(20);
    }
    expect(order).toEqual(['bootstrapped']);
    await closed;
    await expect(probe()).rejects.toThrow('fetch failed');
  });

  it('keeps two applications in one process apart', async () => {
    const [one, two] = await Promise.all([
      start([HealthOnlyModule.forRoot(), LedgerModule]),
      start([HealthOnlyModule.forRoot(), LedgerModule]),
    ]);
    one.app.get(HealthAggregator).update('ledger', { status: 'down' });
    expect((await one.get('/health/ready')).status).toBe(503);
    expect((await two.get('/health/ready')).status).toBe(200);
  });

  it('never shows a secret that an error, a reason or details carry', async () => {
    const { app, get } = await start([
      HealthOnlyModule.forRoot({ details: 'always', health: { http: { paths: { deep: '/health/deep' } } } }),
      LedgerModule,
    ]);
    const health = app.get(HealthAggregator);
    const ledger = app.get(Ledger);
    ledger.failure = Object.assign(new Error(`connect postgres://app:${SECRET}@db:5432/app?password=${SECRET}`), {
      code: 'ECONNREFUSED',
      config: { password: SECRET },
    });
    for (let i = 0; i < 3; i++) await health.checkNow('ledger');
    health.register({ name: 'mail' });
    health.update('mail', {
      status: 'down',
      reason: `SMTP said no to Bearer ${SECRET}`,
      details: { smtp: { user: 'a', password: SECRET }, headers: { authorization: `Basic ${SECRET}` } },
    });
    health.addSource('cache', {
      readHealth: () => [{ name: 'redis', status: 'degraded', reason: `redis://:${SECRET}@cache is away` }],
    });
    health.setUnready(`rotating token=${SECRET}`);
    const seen = [
      ...(await Promise.all(['live', 'ready', 'startup', 'deep'].map(async (g) => (await get(`/health/${g}`)).text()))),
      JSON.stringify(health.overview()),
      (await app.get(MetricsClient).expose()).body,
    ].join('\n');
    expect(seen).toContain('ECONNREFUSED');
    expect(seen).toContain('cache:redis');
    expect(seen).not.toContain(SECRET);
  });

  it('shows strangers nothing but the status', async () => {
    const { app, get } = await start([
      HealthOnlyModule.forRoot({ details: ({ headers }) => headers.authorization === 'Bearer ops' }),
      LedgerModule,
    ]);
    app.get(HealthAggregator).update('ledger', { status: 'down', reason: 'gone' });
    expect(await (await get('/health/ready')).json()).toEqual({ status: 'error', info: {}, error: {}, details: {} });
    expect(await (await get('/health/ready', { headers: { authorization: 'Bearer ops' } })).text()).toContain('gone');
  });
});
