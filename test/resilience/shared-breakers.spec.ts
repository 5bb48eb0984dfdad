import { Keyv } from 'keyv';
import { afterEach, describe, expect, it } from 'vitest';
import { cacheSchema } from '../../libs/mesh/src/cache/cache.options.js';
import { MeshCache } from '../../libs/mesh/src/cache/mesh-cache.js';
import { fixedOptions } from '../../libs/mesh/src/core/live-options.js';
import { ServiceInfo } from '../../libs/mesh/src/core/service-info.js';
import { VirtualClock } from '../../libs/mesh/src/testing/virtual-clock.js';
import { CountingMetrics, failing, ResilienceFixture } from './resilience.fixture.js';

/** Instances with the mesh's own cache, whose memory of what an instance wrote itself must not hide what others write. */
describe('breakers over the two-tier cache, without invalidation', () => {
  const clock = new VirtualClock();
  const store = new Map<string, unknown>();
  const stops: (() => Promise<void>)[] = [];
  const policies = { pay: { retry: false, circuitBreaker: { minimumCalls: 2, openJitterRatio: 0 } } } as const;

  const start = async (name: string) => {
    const instance = new ResilienceFixture({ policies }, clock);
    instance.ids.next = () => name;
    const { manager, ids, events, contexts } = instance;
    const cache = new MeshCache(fixedOptions(cacheSchema.parse({ store: new Keyv({ store }) })), {
      clock,
      ids,
      events,
      contexts,
      metrics: new CountingMetrics(),
      policies: manager,
      service: new ServiceInfo('shop', name),
    });
    manager.declare('cache:l2', { retry: false }, 'the cache');
    await cache.start();
    manager.share(cache, { except: ['cache:l2'] });
    await clock.advance(10);
    stops.push(async () => {
      manager.dispose();
      await cache.stop();
    });
    return manager;
  };

  afterEach(async () => {
    const stopping = Promise.all(stops.splice(0).map((stop) => stop()));
    await clock.advance(5_000);
    await stopping;
    expect(clock.pendingTimers).toBe(0);
    store.clear();
  });

  it('pick up what operators say in turns, each on another instance', async () => {
    const [a, b] = [await start('a'), await start('b')];
    const states = () => [a, b].map((manager) => manager.breaker('pay').state);
    a.breaker('pay').isolate({ reason: 'one', author: 'alice' });
    await clock.advance(6_000);
    expect(states()).toEqual(['isolated', 'isolated']);
    b.breaker('pay').release();
    await clock.advance(16_000);
    expect(states()).toEqual(['closed', 'closed']);
    b.breaker('pay').disable({ reason: 'two' });
    a.breaker('pay').isolate({ reason: 'three' });
    await clock.advance(30_000);
    expect(new Set(states()).size).toBe(1);
  });

  it('go on with an open breaker after a restart', async () => {
    const before = await start('a');
    for (let call = 0; call < 2; call++)
      await before
        .policy('pay')
        .execute(failing)
        .catch(() => undefined);
    await clock.advance(1_000);
    const after = await start('a2');
    expect(after.breaker('pay').state).toBe('open');
  });
});
