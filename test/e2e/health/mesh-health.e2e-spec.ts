import { setTimeout as sleep } from 'node:timers/promises';
import {
  Controller,
  Get,
  HttpException,
  Injectable,
  Module,
  VersioningType,
  type CanActivate,
  type DynamicModule,
  type INestApplication,
  type OnModuleDestroy,
  type OnModuleInit,
  type Type,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { HealthCheck, HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { MeshComponent, type MeshExtras, MeshLifecycle, MeshModule, type MeshOptions, ServiceMesh } from 'nestjs-mesh';
import { MeshEvents } from '../../../libs/mesh/src/core/mesh.events.js';
import { HealthContributor } from '../../../libs/mesh/src/health/health-contributor.decorator.js';

const SECRET = 'pl4nted-s3cret';

/** Connects in a hook, as clients of databases do, and is asked in the background from then on. */
@Injectable()
class Ledger implements OnModuleInit, OnModuleDestroy {
  pings = 0;
  connected = false;
  failure: Error | undefined;

  async onModuleInit(): Promise<void> {
    await sleep(50);
    this.connected = true;
  }

  async onModuleDestroy(): Promise<void> {
    await sleep(200);
    this.connected = false;
  }

  @HealthContributor('ledger', { groups: { ready: 'required' } })
  ping(): void {
    this.pings++;
    if (!this.connected) throw new Error('not connected');
    if (this.failure) throw this.failure;
  }
}

@Injectable()
class NobodyGuard implements CanActivate {
  canActivate(): boolean {
    return false;
  }
}

@Injectable()
class ThrottlerLikeGuard implements CanActivate {
  #calls = 0;

  canActivate(): boolean {
    if (++this.#calls > 2) throw new HttpException('Too Many Requests', 429);
    return true;
  }
}

@Module({ providers: [Ledger] })
class LedgerModule {}

function mesh(options: Partial<MeshOptions> = {}, extras: MeshExtras = {}): DynamicModule {
  return MeshModule.forRoot({ service: { name: 'orders' }, logging: { level: 'silent' }, ...options }, extras);
}

const platforms = { Express: () => new ExpressAdapter(), Fastify: () => new FastifyAdapter() };

describe.each(Object.entries(platforms))('the health of a MeshModule application on %s', (_platform, createAdapter) => {
  const apps: INestApplication[] = [];

  async function create(imports: (Type | DynamicModule)[]): Promise<INestApplication> {
    const module = await Test.createTestingModule({ imports }).compile();
    const app = module.createNestApplication<NestFastifyApplication>(createAdapter(), { logger: false });
    apps.push(app);
    return app;
  }

  async function listen(app: INestApplication) {
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    return (path: string, init?: RequestInit) => fetch(url + path, init);
  }

  afterEach(async () => {
    await Promise.all(apps.splice(0).map((app) => app.close()));
  });

  it('is ready with the first connection, and no check ran before its dependency was there', async () => {
    const app = await create([mesh({ health: { details: 'always' } }), LedgerModule]);
    const transitions: string[] = [];
    app.get(MeshEvents).on('health.transition', ({ contributor, from, to }) => {
      if (contributor === 'ledger') transitions.push(`${from} > ${to}`);
    });
    const get = await listen(app);
    const answer = await get('/health/ready');
    expect([answer.status, await answer.json()]).toMatchObject([
      200,
      { status: 'ok', details: { ledger: { status: 'up' } } },
    ]);
    expect(transitions).toEqual(['unknown > up']);
  });

  it('cannot be broken by the prefix, the versions, the guards and the throttler of the host', async () => {
    @Module({
      providers: [
        { provide: APP_GUARD, useClass: ThrottlerLikeGuard },
        { provide: APP_GUARD, useClass: NobodyGuard },
      ],
    })
    class StrictModule {}
    const app = await create([mesh(), StrictModule]);
    app.setGlobalPrefix('api');
    app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
    const get = await listen(app);
    for (const path of ['/health/live', '/health/ready', '/health/startup']) {
      for (let i = 0; i < 4; i++) expect((await get(path)).status).toBe(200);
    }
  });

  it("serves the host's own Terminus controller beside its own routes", async () => {
    @Controller('my-health')
    class MyHealthController {
      constructor(
        private readonly terminus: HealthCheckService,
        private readonly serviceMesh: ServiceMesh,
      ) {}

      @Get()
      @HealthCheck()
      check() {
        return this.terminus.check([() => this.serviceMesh.health.indicator('ready')]);
      }
    }
    @Module({ imports: [TerminusModule], controllers: [MyHealthController] })
    class MyHealthModule {}
    const app = await create([mesh(), LedgerModule, MyHealthModule]);
    const get = await listen(app);
    expect(await (await get('/my-health')).json()).toMatchObject({ status: 'ok', info: { ledger: { status: 'up' } } });
    app.get(ServiceMesh).health.update('ledger', { status: 'down', reason: 'gone' });
    expect((await get('/my-health')).status).toBe(503);
    expect((await get('/health/ready')).status).toBe(503);
  });

  it('shows details to whom healthDetails allows it', async () => {
    const healthDetails: MeshExtras['healthDetails'] = ({ headers }) => headers.authorization === 'Bearer ops';
    const app = await create([mesh({}, { healthDetails }), LedgerModule]);
    const get = await listen(app);
    const body = async (authorization: string) =>
      (await get('/health/ready', { headers: { authorization } })).json() as Promise<unknown>;
    expect(await body('Bearer ops')).toMatchObject({ details: { ledger: { status: 'up' } } });
    expect(await body('Bearer other')).toMatchObject({ status: 'ok', details: {} });
  });

  it("goes on with its checks after a request's deadline, when that request changed their interval", async () => {
    @Injectable()
    class Prices {
      asked = 0;
      constructor(private readonly serviceMesh: ServiceMesh) {}

      @HealthContributor('prices')
      async ping(): Promise<void> {
        await this.serviceMesh.breakers.policy('prices').execute(async () => undefined);
        this.asked++;
      }
    }
    @Module({ providers: [Prices] })
    class PricesModule {}
    const policies = { prices: { retry: false as const } };
    const ops = { tokens: { write: `${SECRET}-of-operators` } };
    const app = await create([mesh({ resilience: { policies }, ops }), PricesModule]);
    const get = await listen(app);
    const headers = {
      authorization: `Bearer ${ops.tokens.write}`,
      'content-type': 'application/json',
      'x-mesh-ops': 'alice',
      'x-mesh-timeout-ms': '200',
    };
    const body = JSON.stringify({ health: { everyMs: 100 } });
    expect((await get('/mesh/config?healthWindowMs=0', { method: 'PATCH', headers, body })).status).toBe(200);
    await sleep(250);
    const prices = app.get(Prices, { strict: false });
    const { asked } = prices;
    await expect.poll(() => prices.asked, { timeout: 2_000 }).toBeGreaterThan(asked + 2);
  });

  it('asks every component that has a check, whenever it was registered', async () => {
    @MeshComponent({ name: 'declared' })
    @Injectable()
    class Declared {
      check = () => ({ status: 'up' as const });
    }
    @Injectable()
    class Registrar implements OnModuleInit {
      constructor(private readonly lifecycle: MeshLifecycle) {}

      onModuleInit(): void {
        this.lifecycle.register({ name: 'late', check: () => ({ status: 'degraded', reason: 'it warms up' }) });
        this.lifecycle.register({ name: 'without-a-check', start: () => undefined });
      }
    }
    @Module({ providers: [Declared, Registrar] })
    class ComponentsModule {}
    const app = await create([mesh(), ComponentsModule]);
    await app.init();
    const { health } = app.get(ServiceMesh);
    const states = Object.fromEntries(health.overview().components.map(({ name, state }) => [name, state]));
    expect(states).toEqual({ broker: 'up', cache: 'up', declared: 'up', late: 'degraded' });
    expect(health.snapshot('ready').entries['late']).toMatchObject({ status: 'degraded', reason: 'it warms up' });
  });

  it('leaves the paths to the host when its routes are switched off', async () => {
    const app = await create([mesh({ health: { http: false } })]);
    const get = await listen(app);
    expect((await get('/health/ready')).status).toBe(404);
  });

  it('is probed like a pod: ready until the first moment of the shutdown, live to the last', async () => {
    const app = await create([
      mesh({
        health: { details: 'always' },
        lifecycle: { shutdown: { preStop: 'always', preStopMs: 300 } },
      }),
      LedgerModule,
    ]);
    const ledger = app.get(Ledger, { strict: false });
    const get = await listen(app);
    const { health } = app.get(ServiceMesh);
    const seen = new Set<string>();
    const probe = async (): Promise<void> => {
      const answers = await Promise.all(['live', 'ready', 'startup'].map((group) => get(`/health/${group}`)));
      const { status } = (await answers[1]!.json()) as { status: string };
      seen.add(`${answers.map((answer) => answer.status).join(' ')} ${status}`);
    };
    for (let i = 0; i < 5; i++) await probe();
    expect([...seen]).toEqual(['200 200 200 ok']);

    apps.splice(apps.indexOf(app), 1);
    const closed = app.close();
    while (health.snapshot('ready').status === 'up') await sleep(1);
    seen.clear();
    const connectedAt503 = ledger.connected;
    for (let i = 0; i < 5; i++) await probe();
    expect([...seen]).toEqual(['200 503 200 shutting_down']);
    expect(connectedAt503).toBe(true);
    await closed;
    expect(health.snapshot('live').status).toBe('up');
    await expect(probe()).rejects.toThrow('fetch failed');
  });

  it.each([
    ['in no group unless it is told to', {}, 200, 'ok'],
    ['with 200 in a group where it is optional', { ready: 'optional' }, 200, 'degraded'],
    ['with 503 in a group that requires it', { ready: 'required' }, 503, 'error'],
  ] as const)('shows an open circuit breaker %s', async (_, groups, status, word) => {
    const app = await create([
      mesh({
        health: {
          details: 'always',
          ...(Object.keys(groups).length > 0 && { contributors: { 'breaker:pay': { groups } } }),
        },
        resilience: { policies: { pay: { retry: false, circuitBreaker: { minimumCalls: 1, failureRatio: 0.5 } } } },
      } as Partial<MeshOptions>),
    ]);
    const get = await listen(app);
    const { breakers } = app.get(ServiceMesh);
    for (let i = 0; i < 5; i++) {
      await breakers
        .policy('pay')
        .execute(() => Promise.reject(new Error('no')))
        .catch(() => undefined);
    }
    const answer = await get('/health/ready');
    expect([answer.status, await answer.json()]).toMatchObject([status, { status: word }]);
    expect((await get('/health/live')).status).toBe(200);
    expect(app.get(ServiceMesh).health.overview().components).toContainEqual(
      expect.objectContaining({ name: 'breaker:pay', state: 'degraded' }),
    );
  });

  it('keeps two applications in one process apart', async () => {
    const [one, two] = [await create([mesh(), LedgerModule]), await create([mesh(), LedgerModule])];
    const [getOne, getTwo] = [await listen(one), await listen(two)];
    one.get(ServiceMesh).health.update('ledger', { status: 'down' });
    expect((await getOne('/health/ready')).status).toBe(503);
    expect((await getTwo('/health/ready')).status).toBe(200);
  });

  it('never shows a secret, in the answers as in the metrics', async () => {
    const app = await create([mesh({ health: { details: 'always' } }), LedgerModule]);
    const get = await listen(app);
    const { health } = app.get(ServiceMesh);
    app.get(Ledger, { strict: false }).failure = new Error(`connect redis://:${SECRET}@cache failed`);
    for (let i = 0; i < 3; i++) await health.checkNow('ledger');
    health.setUnready(`rotating token=${SECRET}`);
    const seen = await Promise.all(
      ['/health/live', '/health/ready', '/health/startup', '/metrics'].map(async (path) => (await get(path)).text()),
    );
    expect(seen.join('\n')).toContain('redis://***@cache failed');
    expect(seen.join('\n')).not.toContain(SECRET);
  });
});
