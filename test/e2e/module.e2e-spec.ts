import { CacheModule, CACHE_MANAGER, type Cache } from '@nestjs/cache-manager';
import { type INestApplication, Injectable, Module, type ModuleMetadata } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import { PrometheusModule } from '@willsoto/nestjs-prometheus';
import { LoggerModule } from 'nestjs-pino';
import {
  CacheClient,
  type CacheFactory,
  type CacheStats,
  CircuitBreakerManager,
  HealthAggregator,
  type LoadContext,
  MeshModule,
  MessageBroker,
  MetricsClient,
  ServiceMesh,
  MeshEvents,
  type MeshOptions,
  ServiceInfo,
} from 'nestjs-mesh';
import { fixedOptions } from '../../libs/mesh/src/core/live-options.js';
import { PrometheusMetrics } from '../../libs/mesh/src/metrics/prometheus.metrics.js';
import { afterEach, describe, expect, it } from 'vitest';

const quiet = { level: 'silent' } as const;
const orders: MeshOptions = { service: { name: 'orders' }, logging: quiet };
const platforms = { Express: () => new ExpressAdapter(), Fastify: () => new FastifyAdapter() };

let running: INestApplication[] = [];

async function boot(
  metadata: ModuleMetadata,
  adapter = new ExpressAdapter() as ReturnType<(typeof platforms)[keyof typeof platforms]>,
) {
  @Module(metadata)
  class App {}
  const module = await Test.createTestingModule({ imports: [App] }).compile();
  const app = module.createNestApplication(adapter as ExpressAdapter, { logger: false });
  running.push(app);
  await app.listen(0, '127.0.0.1');
  return app;
}

const mesh = (options: Partial<MeshOptions> = {}, extras = {}) => MeshModule.forRoot({ ...orders, ...options }, extras);

async function get(app: INestApplication, path: string) {
  const response = await fetch((await app.getUrl()) + path);
  return { status: response.status, text: await response.text() };
}

afterEach(async () => {
  await Promise.all(running.map((app) => app.close()));
  running = [];
});

/** The default client, constructed by hand as a user's test would. */
class PlainMetrics extends PrometheusMetrics {
  constructor(events: MeshEvents) {
    super(
      fixedOptions({ maxSeriesPerMetric: 10, processMetrics: false, includeDefaultRegistry: false, http: false }),
      events,
    );
  }
}

describe('MeshModule', () => {
  it('needs nothing but the name of the service', async () => {
    const app = await boot({ imports: [mesh()] });

    expect(app.get(ServiceMesh).name).toBe('orders');
    expect(await get(app, '/health/ready')).toMatchObject({ status: 200 });
    expect((await get(app, '/metrics')).text).toContain('mesh_');
  });

  it.each(
    [ServiceMesh, CircuitBreakerManager, HealthAggregator, MetricsClient, CacheClient, MessageBroker].map(
      (token) => [token.name, token] as const,
    ),
  )('lets any provider of any module inject %s', async (_name, token) => {
    @Injectable()
    class User {
      constructor(readonly part: ServiceMesh) {}
    }
    @Module({ providers: [User, { provide: 'PART', useExisting: token }] })
    class Feature {}
    const app = await boot({ imports: [mesh(), Feature] });

    expect(app.get('PART', { strict: false })).toBeInstanceOf(token);
    expect(app.get(User, { strict: false }).part).toBe(app.get(ServiceMesh));
  });

  it('keeps CACHE_MANAGER injectable', async () => {
    const app = await boot({ imports: [mesh()] });
    const cache = app.get<Cache>(CACHE_MANAGER, { strict: false });

    await cache.set('key', { a: 1 }, 1_000);
    expect(await cache.get('key')).toEqual({ a: 1 });
  });

  describe('forRootAsync', () => {
    @Module({
      imports: [ConfigModule.forRoot({ ignoreEnvFile: true, load: [() => ({ SERVICE: 'billing' })] })],
      exports: [ConfigModule],
    })
    class Settings {}

    it('takes its options from a factory', async () => {
      const app = await boot({
        imports: [
          MeshModule.forRootAsync({
            imports: [Settings],
            inject: [ConfigService],
            useFactory: (config: ConfigService) => ({
              service: { name: config.get('SERVICE') as string },
              logging: quiet,
            }),
          }),
        ],
      });
      expect(app.get(ServiceMesh).name).toBe('billing');
    });

    @Injectable()
    class MeshSettings {
      createMeshOptions(): MeshOptions {
        return { service: { name: 'shipping' }, logging: quiet };
      }
    }

    it('takes its options from a class', async () => {
      const app = await boot({ imports: [MeshModule.forRootAsync({ useClass: MeshSettings })] });
      expect(app.get(ServiceMesh).name).toBe('shipping');
    });

    it('takes its options from an existing provider', async () => {
      @Module({ providers: [MeshSettings], exports: [MeshSettings] })
      class Existing {}
      const app = await boot({
        imports: [MeshModule.forRootAsync({ imports: [Existing], useExisting: MeshSettings })],
      });
      expect(app.get(ServiceMesh).name).toBe('shipping');
    });

    it('refuses extras that the factory returns, and says where they belong', async () => {
      const useFactory = () => ({ ...orders, isGlobal: false }) as MeshOptions;
      await expect(boot({ imports: [MeshModule.forRootAsync({ useFactory })] })).rejects.toThrow(
        /isGlobal.*second argument/s,
      );
    });
  });

  it('reports everything that is wrong with the options at once', async () => {
    const wrong = { service: { name: '' }, cach: {}, health: { timeoutMs: 'soon' } } as unknown as MeshOptions;
    const failure: Error = await boot({ imports: [MeshModule.forRoot(wrong)] }).then(
      () => new Error('it booted'),
      (error: Error) => error,
    );
    for (const problem of ['service.name', 'cach', 'cache', 'health.timeoutMs'])
      expect(failure.message).toContain(problem);
  });

  it('refuses a second registration in the same application', async () => {
    await expect(boot({ imports: [mesh(), mesh({ service: { name: 'other' } })] })).rejects.toThrow(
      /registered twice.*root module/,
    );
  });

  it('refuses to be imported without options', async () => {
    await expect(boot({ imports: [MeshModule] })).rejects.toThrow(/MeshModule\.forRoot\(/);
  });

  it('lives beside another one in the same process', async () => {
    const [first, second] = await Promise.all([
      boot({ imports: [mesh()] }),
      boot({ imports: [mesh({ service: { name: 'billing' } })] }),
    ]);
    await first.get(CacheClient).set('key', 'first');

    expect([first.get(ServiceMesh).name, second.get(ServiceMesh).name]).toEqual(['orders', 'billing']);
    expect(await second.get(CacheClient).get('key')).toBeUndefined();
  });

  describe.each(Object.entries(platforms))('in a host on %s that has all four modules itself', (_name, adapter) => {
    const host = () => [
      LoggerModule.forRoot({ pinoHttp: { level: 'silent' } }),
      PrometheusModule.register({ defaultMetrics: { enabled: false } }),
      TerminusModule,
      CacheModule.register({ isGlobal: true }),
    ];

    it.each(['before', 'after'])('boots with MeshModule imported %s them', async (place) => {
      const app = await boot({ imports: place === 'before' ? [mesh(), ...host()] : [...host(), mesh()] }, adapter());

      expect((await get(app, '/health/ready')).status).toBe(200);
      expect((await get(app, '/metrics')).text).toContain('mesh_');
    });
  });

  it('starts the components that are given beside the options, in the order of their dependencies', async () => {
    const started: string[] = [];
    const component = (name: string, dependsOn: string[] = []) => ({
      name,
      dependsOn,
      start: () => void started.push(name),
    });
    const additionalComponents = [
      { useFactory: (service: ServiceInfo) => component(`${service.name}-ledger`, ['vault']), inject: [ServiceInfo] },
      { useValue: component('vault', ['broker']) },
    ];
    await boot({ imports: [mesh({}, { additionalComponents })] });
    expect(started).toEqual(['vault', 'orders-ledger']);
  });

  it('lets a test override a part', async () => {
    const replacement = { tag: 'mine' };
    const module = await Test.createTestingModule({ imports: [mesh({}, { cacheManager: false })] })
      .overrideProvider(MetricsClient)
      .useFactory({
        inject: [MeshEvents],
        factory: (events: MeshEvents) => Object.assign(new PlainMetrics(events), replacement),
      })
      .compile();
    expect(module.get(ServiceMesh).metrics).toMatchObject(replacement);
    await module.close();
  });

  describe('replacing a part', () => {
    /** Keeps nothing. */
    class NoCache extends CacheClient {
      override async getOrSet<T>(_key: string, factory: CacheFactory<T>): Promise<T> {
        return factory({ signal: AbortSignal.timeout(1_000) } as LoadContext<T>);
      }
      override get = () => Promise.resolve(undefined);
      override entry = () => Promise.resolve({ found: false } as const);
      override set = () => Promise.resolve();
      override getMany = <T>() => Promise.resolve(new Map<string, T>());
      override setMany = () => Promise.resolve();
      override expire = () => Promise.resolve(false);
      override delete = () => Promise.resolve(false);
      override deleteMany = () => Promise.resolve(0);
      override deleteByTag = () => Promise.resolve();
      override clear = () => Promise.resolve();
      override namespace = () => this;
      override stats(): CacheStats {
        return {
          hits: 0,
          stale: 0,
          misses: 0,
          loads: 0,
          loadFailures: 0,
          coalesced: 0,
          entries: 0,
          bytes: 0,
          evictions: 0,
        };
      }
    }

    it('gives the replacement to everybody', async () => {
      const app = await boot({ imports: [mesh({}, { components: { cache: { useClass: NoCache } } })] });
      await app.get(CacheClient).set('key', 1);
      expect(await app.get(CacheClient).get('key')).toBeUndefined();
      expect(app.get(ServiceMesh).cache).toBe(app.get(CacheClient));
    });

    it('refuses one that lacks a method of the port, by name', async () => {
      const components = { cache: { useValue: { get: () => undefined } as unknown as CacheClient } };
      await expect(boot({ imports: [mesh({}, { components })] })).rejects.toThrow(
        /components\.cache.*lacks getOrSet\(\), entry\(\), set\(\)/,
      );
    });

    it('refuses a part that does not exist', () => {
      expect(() => mesh({}, { components: { cachee: {} } })).toThrow(/cachee.*metrics, broker, cache/);
    });
  });
});
