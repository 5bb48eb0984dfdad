import { Controller, Injectable, Module, type OnModuleInit, type Provider } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import {
  CacheClient,
  InProcessBroker,
  MeshEvents,
  type MeshExtras,
  MeshModule,
  MessageBroker,
  MetricsClient,
  ServiceMesh,
  Subscribe,
} from 'nestjs-mesh';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { brokerOptionsSchema } from '../../../libs/mesh/src/broker/broker.options.js';
import { cacheSchema } from '../../../libs/mesh/src/cache/cache.options.js';
import { MeshCache } from '../../../libs/mesh/src/cache/mesh-cache.js';
import { CallContexts } from '../../../libs/mesh/src/core/call-context.js';
import { SystemClock } from '../../../libs/mesh/src/core/clock.js';
import { SystemIds } from '../../../libs/mesh/src/core/ids.js';
import { fixedOptions } from '../../../libs/mesh/src/core/live-options.js';
import { ServiceInfo } from '../../../libs/mesh/src/core/service-info.js';
import { metricsSchema } from '../../../libs/mesh/src/metrics/metrics.options.js';
import { PrometheusMetrics } from '../../../libs/mesh/src/metrics/prometheus.metrics.js';

const log: string[] = [];

@Controller()
class Greeter {
  @MessagePattern('greet')
  greet(name: string): string {
    return `hello ${name}`;
  }

  @Subscribe('greeted')
  async onGreeted(n: number): Promise<void> {
    await turn();
    log.push(`greeted ${n}`);
  }
}

/** Whatever anybody may keep of the mesh's parts. */
@Injectable()
class Holder {
  readonly namespace: CacheClient;

  constructor(
    readonly cache: CacheClient,
    readonly broker: MessageBroker,
    readonly metrics: MetricsClient,
  ) {
    this.namespace = cache.namespace('rates');
  }
}

let apps: { close(): Promise<void> }[] = [];

async function boot(components: NonNullable<MeshExtras['components']> = {}, providers: Provider[] = []) {
  @Module({
    imports: [MeshModule.forRoot({ service: { name: 'orders' }, logging: { level: 'silent' } }, { components })],
    controllers: [Greeter],
    providers: [Holder, ...providers],
  })
  class App {}
  const module = await Test.createTestingModule({ imports: [App] }).compile();
  apps.push(module);
  await module.init();
  return { mesh: module.get(ServiceMesh), holder: module.get(Holder), app: module };
}

function collaborators() {
  const events = new MeshEvents();
  return {
    clock: new SystemClock(),
    ids: new SystemIds(),
    events,
    metrics: new PrometheusMetrics(fixedOptions(metricsSchema.parse({})), events),
    contexts: new CallContexts(),
    service: new ServiceInfo('orders', 'a'),
  };
}

/** The mesh's own cache, writing down its steps. */
class OtherCache extends MeshCache {
  readonly label = 'other';
  healthy = true;

  constructor() {
    super(fixedOptions(cacheSchema.parse({})), collaborators());
  }

  override async start(): Promise<void> {
    log.push('other start');
    await super.start();
  }

  check() {
    return this.healthy ? { status: 'up' as const } : { status: 'down' as const, reason: 'no connection' };
  }

  override async stop(): Promise<void> {
    log.push('other stop');
    await super.stop();
  }
}

const otherBroker = () => new InProcessBroker(fixedOptions(brokerOptionsSchema.parse({})), collaborators());

afterEach(async () => {
  await Promise.all(apps.map((app) => app.close()));
  apps = [];
  log.length = 0;
});

describe('mesh.replace', () => {
  it('takes every reference to the cache along, namespaces included', async () => {
    const { mesh, holder } = await boot();
    await holder.cache.set('key', 'old');
    const cache = new OtherCache();

    expect(await mesh.replace('cache', cache)).toEqual({ leftovers: [] });

    expect(await holder.cache.get('key')).toBeUndefined();
    await holder.cache.set('key', 'new');
    await holder.namespace.set('eur', 1.08);
    expect(await cache.get('key')).toBe('new');
    expect(await cache.namespace('rates').get('eur')).toBe(1.08);
    expect(mesh.cache).toBe(holder.cache);
    expect((holder.cache as OtherCache).label).toBe('other');
  });

  it('lets loads that run on the old cache finish', async () => {
    const { mesh, holder } = await boot();
    const slow = holder.cache.getOrSet('slow', async () => {
      await sleep(50);
      return 'loaded';
    });
    await mesh.replace('cache', new OtherCache());
    expect(await slow).toBe('loaded');
  });

  it('fails no request and loses no message while the broker is replaced under load', async () => {
    const { mesh, holder } = await boot();
    let [sent, failed, over] = [0, 0, false];
    const load = async (): Promise<void> => {
      while (!over) {
        const answer = await holder.broker.request('greet', 'you').catch(String);
        if (answer !== 'hello you') failed++;
        await holder.broker.publish('greeted', sent++);
        await sleep(1);
      }
    };
    const callers = Promise.all(Array.from({ length: 10 }, load));
    for (let i = 0; i < 3; i++) {
      await sleep(50);
      await mesh.replace('broker', otherBroker());
    }
    await sleep(50);
    over = true;
    await callers;
    while (log.length < sent) await turn();

    expect({ failed, handled: new Set(log).size }).toEqual({ failed: 0, handled: sent });
    expect(sent).toBeGreaterThan(100);
  });

  it('ends a subscription wherever it is by then', async () => {
    const { mesh, holder } = await boot();
    const subscription = await holder.broker.subscribe('topic', () => void log.push('heard'));
    await mesh.replace('broker', otherBroker());
    await subscription.stop();
    await holder.broker.publish('topic');
    await sleep(5);
    expect(log).toEqual([]);
  });

  it('takes bound handles, the values of gauges and collectors to the new client of metrics', async () => {
    const { mesh, holder } = await boot();
    const count = holder.metrics.counter({ name: 'app_total', help: 'x', labels: ['kind'] }).with({ kind: 'a' });
    const inFlight = holder.metrics.gauge({ name: 'app_in_flight', help: 'x' }).with({});
    const size = holder.metrics.gauge({ name: 'app_size', help: 'x' });
    holder.metrics.onCollect(() => size.with({}).set(7));
    count.inc(5);
    inFlight.inc(3);

    const { metrics: client } = collaborators();
    await mesh.replace('metrics', client);
    count.inc(2);
    inFlight.dec();

    const { body } = await client.expose();
    expect(body.split('\n').filter((line) => line.startsWith('app_'))).toEqual([
      'app_total{kind="a"} 2',
      'app_in_flight 2',
      'app_size 7',
    ]);
    expect((await holder.metrics.expose()).body).toContain('mesh_build_info');
  });

  it.each([
    ['does not start', { start: () => Promise.reject(new Error('refused')) }, 'failed to start: refused'],
    ['is not well', { healthy: false }, 'is not well: no connection'],
    ['has a handler of its own in the way', { namespace: () => fail('taken') }, 'could not take over: taken'],
  ])('refuses an implementation that %s, and stops it again', async (_, flaw, reason) => {
    const { mesh, holder } = await boot();
    await holder.cache.set('key', 'old');
    const cache = Object.assign(new OtherCache(), flaw) as OtherCache;
    await expect(mesh.replace('cache', cache)).rejects.toMatchObject({
      code: 'MESH_REPLACEMENT_REFUSED',
      message: `The cache was not replaced: OtherCache ${reason}. MeshCache stays in use.`,
    });
    expect(await holder.cache.get('key')).toBe('old');
    expect(log.at(-1)).toBe('other stop');
  });

  it('refuses what is not a cache, by what it lacks', async () => {
    const { mesh } = await boot();
    await expect(mesh.replace('cache', {} as CacheClient)).rejects.toThrow(
      /Object can't replace CacheClient, it lacks/,
    );
    await expect(mesh.replace('cachee' as 'cache', new OtherCache())).rejects.toThrow(
      /these are: metrics, broker, cache/,
    );
  });

  it('refuses before the application is ready and once it stops, and stops what took over', async () => {
    const { mesh, app } = await boot({}, [
      {
        provide: 'EARLY',
        inject: [ServiceMesh],
        useFactory: (early: ServiceMesh) => ({
          onModuleInit: async () => {
            await early.replace('cache', new OtherCache()).catch((error: Error) => log.push(error.message));
          },
        }),
      },
    ]);
    expect(log).toEqual([expect.stringContaining("The cache can't be replaced before the application is ready")]);
    await mesh.replace('cache', new OtherCache());
    await app.close();
    expect(log.at(-1)).toBe('other stop');
    await expect(mesh.replace('cache', new OtherCache())).rejects.toMatchObject({ code: 'MESH_DRAINING' });
  });

  it("calls the Nest hooks of the user's own part once, on the part itself", async () => {
    class HookedCache extends OtherCache implements OnModuleInit {
      #inits = 0;
      onModuleInit(): void {
        log.push(`init ${++this.#inits}`);
      }
    }
    await boot({ cache: { useFactory: () => new HookedCache() } });
    expect(log.filter((line) => line.startsWith('init'))).toEqual(['init 1']);
  });
});

function fail(message: string): never {
  throw new Error(message);
}
