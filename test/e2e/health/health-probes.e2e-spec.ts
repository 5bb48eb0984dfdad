import { setTimeout as sleep } from 'node:timers/promises';
import { Controller, Get, HttpException, Injectable, Module, VersioningType, type CanActivate } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { HealthCheck, HealthCheckService, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { afterEach, describe, expect, it } from 'vitest';
import { fromTerminus, HealthAggregator, type MeshExtras } from 'nestjs-mesh';
import { HealthApps, Ledger, LedgerModule, mesh, platforms } from './health-app.fixture.js';

const SECRET = 'pl4nted-s3cret';

const up: unknown = expect.objectContaining({ status: 'up' });
/** What is ready in every application. */
const partsOfTheMesh = { broker: up, cache: up };

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
    const answer = await get('/health/ready');
    const entries = { ...partsOfTheMesh, ledger: { status: 'up' } };
    expect([answer.status, await answer.json()]).toEqual([
      200,
      { status: 'ok', info: entries, error: {}, details: entries },
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
    ['as it is', TerminusModule],
    ['with its own settings', TerminusModule.forRoot({ errorLogStyle: 'pretty', logger: false })],
    ['with the settings of the mesh', TerminusModule.forRoot({ logger: false, gracefulShutdownTimeoutMs: 0 })],
  ])('boots beside a TerminusModule of the host, %s, and serves its controller', async (_how, terminus) => {
    @Module({ imports: [terminus], controllers: [HostHealthController] })
    class HostHealthModule {}
    const app = await apps.create(mesh(), LedgerModule, HostHealthModule);
    app.setGlobalPrefix('api');
    app.enableVersioning({ type: VersioningType.URI });
    const get = await apps.listen(app);
    const answer = await get('/api/v1/health');
    const entries = { ...partsOfTheMesh, ledger: { status: 'up' }, disk: { status: 'up', free: 1 } };
    expect([answer.status, await answer.json()]).toEqual([
      200,
      { status: 'ok', info: entries, error: {}, details: entries },
    ]);
    app.get(HealthAggregator).update('ledger', { status: 'down', reason: 'gone' });
    const down = await get('/api/v1/health');
    expect([down.status, await down.json()]).toMatchObject([503, { error: { ledger: { reason: 'gone' } } }]);
    expect((await get('/health/ready')).status).toBe(503);
  });

  it('asks no dependency for fifty probes at once', async () => {
    const { app, get } = await apps.start(mesh(), LedgerModule);
    const ledger = app.get(Ledger, { strict: false });
    const before = ledger.pings;
    const answers = await Promise.all(Array.from({ length: 50 }, () => get('/health/ready')));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(ledger.pings).toBe(before);
  });

  it('takes a wrapped Terminus indicator out of the way of probes', async () => {
    const { app, get } = await apps.start(mesh({ health: { details: 'always' } }), TerminusModule);
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

  it('is probed like a pod: ready until the first moment of the shutdown, live to the last', async () => {
    const { app, get } = await apps.start(
      mesh({ health: { details: 'always' }, lifecycle: { shutdown: { preStop: 'always', preStopMs: 500 } } }),
      LedgerModule,
    );
    const ledger = app.get(Ledger, { strict: false });
    const health = app.get(HealthAggregator);
    const probe = async (): Promise<string> => {
      const answers = await Promise.all(['live', 'ready', 'startup'].map((group) => get(`/health/${group}`)));
      const { status } = (await answers[1]!.json()) as { status: string };
      return `${answers.map((answer) => answer.status).join(' ')} ${status}`;
    };
    for (let i = 0; i < 5; i++) expect(await probe()).toBe('200 200 200 ok');

    health.setUnready('reindexing');
    expect(await probe()).toBe('200 503 200 error');
    health.setReady();
    expect(await probe()).toBe('200 200 200 ok');

    const closed = apps.close(app);
    while (health.snapshot('ready').status === 'up') await sleep(1);
    for (let i = 0; i < 5; i++) expect(await probe()).toBe('200 503 200 shutting_down');
    expect(ledger.connected).toBe(true);
    await closed;
    expect(health.snapshot('live').status).toBe('up');
    await expect(probe()).rejects.toThrow('fetch failed');
  });

  it('keeps two applications in one process apart', async () => {
    const [one, two] = [await apps.start(mesh(), LedgerModule), await apps.start(mesh(), LedgerModule)];
    one.app.get(HealthAggregator).update('ledger', { status: 'down' });
    expect((await one.get('/health/ready')).status).toBe(503);
    expect((await two.get('/health/ready')).status).toBe(200);
  });

  it('never shows a secret that an error, a reason or details carry, in the answers as in the metrics', async () => {
    const { app, get } = await apps.start(
      mesh({ health: { details: 'always', http: { paths: { deep: '/health/deep' } } } }),
      LedgerModule,
    );
    const health = app.get(HealthAggregator);
    app.get(Ledger, { strict: false }).failure = new Error(`connect redis://:${SECRET}@cache failed`);
    health.register({
      name: 'orders-db',
      groups: { ready: 'required', deep: 'required' },
      check: () => {
        const message = `connect postgres://app:${SECRET}@db:5432/app?password=${SECRET}`;
        throw Object.assign(new Error(message), { code: 'ECONNREFUSED', config: { password: SECRET } });
      },
    });
    for (let i = 0; i < 3; i++) await Promise.all([health.checkNow('ledger'), health.checkNow('orders-db')]);
    health.register({ name: 'mail', groups: { deep: 'required' } });
    health.update('mail', {
      status: 'down',
      reason: `SMTP said no to Bearer ${SECRET}`,
      details: { smtp: { user: 'a', password: SECRET }, headers: { authorization: `Basic ${SECRET}` } },
    });
    health.addSource('queue', {
      readHealth: () => [{ name: 'redis', status: 'degraded', reason: `redis://:${SECRET}@queue is away` }],
    });
    health.setUnready(`rotating token=${SECRET}`);
    const paths = ['/health/live', '/health/ready', '/health/startup', '/health/deep', '/metrics'];
    const seen = [
      ...(await Promise.all(paths.map(async (path) => (await get(path)).text()))),
      JSON.stringify(health.overview()),
    ].join('\n');
    expect(seen).toContain('redis://***@cache failed');
    expect(seen).toContain('ECONNREFUSED');
    expect(seen).toContain('SMTP said no');
    expect(seen).toContain('queue:redis');
    expect(seen).not.toContain(SECRET);
  });

  it('shows strangers nothing but the status, and details to whom healthDetails allows it', async () => {
    const healthDetails: MeshExtras['healthDetails'] = ({ headers }) => headers.authorization === 'Bearer ops';
    const { app, get } = await apps.start(mesh({}, { healthDetails }), LedgerModule);
    const body = async (authorization?: string): Promise<unknown> =>
      (await get('/health/ready', { headers: { ...(authorization && { authorization }) } })).json();
    expect(await body('Bearer ops')).toMatchObject({ status: 'ok', details: { ledger: { status: 'up' } } });
    expect(await body('Bearer other')).toEqual({ status: 'ok', info: {}, error: {}, details: {} });

    app.get(HealthAggregator).update('ledger', { status: 'down', reason: 'gone' });
    expect(await body()).toEqual({ status: 'error', info: {}, error: {}, details: {} });
    expect(await body('Bearer ops')).toMatchObject({ error: { ledger: { status: 'down', reason: 'gone' } } });
  });
});
