import {
  Controller,
  Get,
  HttpException,
  Injectable,
  Module,
  VersioningType,
  type CanActivate,
  type INestApplication,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { HealthCheck, HealthCheckService, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { afterEach, describe, expect, it } from 'vitest';
import { HealthAggregator, type MeshExtras } from 'nestjs-mesh';
import { fromTerminus } from '../../../libs/mesh/src/health/terminus.adapter.js';
import { deferred } from '../../resilience/resilience.fixture.js';
import { HealthApps, Ledger, LedgerModule, mesh, platforms } from './health-app.fixture.js';

const SECRET = 'pl4nted-s3cret';

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

describe.each(platforms)('health probes on %s', (_platform, createAdapter) => {
  const apps = new HealthApps(createAdapter);

  afterEach(() => apps.closeAll());

  it('answers in the words of Terminus', async () => {
    const { app, get } = await apps.start(mesh({ health: { details: 'always' } }), LedgerModule);
    const health = app.get(HealthAggregator);
    const up = await get('/health/ready');
    expect([up.status, await up.json()]).toEqual([
      200,
      { status: 'ok', info: { ledger: { status: 'up' } }, error: {}, details: { ledger: { status: 'up' } } },
    ]);

    health.addSource('search', { readHealth: () => [{ name: 'eu', status: 'degraded', reason: 'slow' }] });
    const degraded = await get('/health/ready');
    expect([degraded.status, await degraded.json()]).toMatchObject([
      200,
      { status: 'degraded', info: { 'search:eu': { status: 'degraded', reason: 'slow' } } },
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
    const app = await apps.create(mesh(), StrictModule);
    app.setGlobalPrefix('api');
    app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
    const get = await apps.listen(app);
    for (const path of ['/health/live', '/health/ready', '/health/startup']) {
      for (let i = 0; i < 4; i++) expect((await get(path)).status).toBe(200);
      expect((await get(path, { method: 'HEAD' })).status).toBe(200);
    }
  });

  it('leaves the paths to the host when its routes are switched off', async () => {
    const { get } = await apps.start(mesh({ health: { http: false } }));
    expect((await get('/health/ready')).status).toBe(404);
  });

  it.each([
    ['as it is', TerminusModule, (): void => undefined],
    [
      'with its own settings, a prefix and versions',
      TerminusModule.forRoot({ errorLogStyle: 'pretty', logger: false }),
      prefixed,
    ],
    [
      'with the settings of the mesh, a prefix and versions',
      TerminusModule.forRoot({ logger: false, gracefulShutdownTimeoutMs: 0 }),
      prefixed,
    ],
  ])('boots beside a TerminusModule of the host, %s, and serves its controller', async (_how, terminus, configure) => {
    @Module({ imports: [terminus], controllers: [HostHealthController] })
    class HostHealthModule {}
    const { app, get } = await start();
  });

  it('asks no dependency for fifty probes at once', async () => {
    const { app, get } = await apps.start(mesh(), LedgerModule);
    const ledger = app.get(Ledger, { strict: false });
    const before = ledger.pings;
    const answers = await Promise.all(Array.from({ length: 50 }, () => get('/health/ready')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(ledger.pings).toBe(before);
  });
});
