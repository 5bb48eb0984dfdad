import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type DrainReport,
  MessageBroker,
  type MessageHandler,
  type PublishReceipt,
  type Subscription,
} from '../../core/broker.port.js';
import { CallContexts } from '../../core/call-context.js';
import { SystemIds } from '../../core/ids.js';
import { fixedOptions } from '../../core/live-options.js';
import { MeshEvents } from '../../core/mesh.events.js';
import { ServiceInfo } from '../../core/service-info.js';
import { metricsSchema } from '../../metrics/metrics.options.js';
import { PrometheusMetrics } from '../../metrics/prometheus.metrics.js';
import { VirtualClock } from '../../testing/virtual-clock.js';
import { BUS_BATCH_MS, BUS_HEARTBEAT_MS, BUS_MAX_PENDING } from '../cache.constants.js';
import { cacheSchema } from '../cache.options.js';
import { MeshCache } from '../mesh-cache.js';

type Fate = 'deliver' | 'lose' | 'repeat' | 'hold' | 'refuse';

/** A fan-out between instances that does to each message what the test says; what was held comes last. */
class FatefulBus extends MessageBroker {
  readonly #handlers = new Set<MessageHandler>();
  readonly #held: unknown[] = [];
  readonly sent: unknown[] = [];
  fates: Fate[] = [];
  /** Publishers wait for it. */
  takes: Promise<void> | undefined;

  override async publish(topic: string, payload?: unknown): Promise<PublishReceipt> {
    const fate = this.fates.shift() ?? 'deliver';
    await this.takes;
    if (fate === 'refuse') throw new Error('broker away');
    // As over a wire: nobody shares an object.
    const message: unknown = JSON.parse(JSON.stringify(payload));
    this.sent.push(message);
    if (fate === 'hold') this.#held.push(message);
    else if (fate !== 'lose') for (let i = 0; i < (fate === 'repeat' ? 2 : 1); i++) this.#deliver(topic, message);
    return { id: '1' };
  }

  release(): void {
    for (const message of this.#held.splice(0)) this.#deliver('', message);
  }

  inject(message: unknown): void {
    this.#deliver('', message);
  }

  override async subscribe<T>(topic: string, handler: MessageHandler<T>): Promise<Subscription> {
    this.#handlers.add(handler as MessageHandler);
    return { topic, stop: async () => void this.#handlers.delete(handler as MessageHandler) };
  }

  override request(): Promise<never> {
    return Promise.reject(new Error('not used'));
  }

  override serve(): () => void {
    throw new Error('not used');
  }

  override waitFor(): Promise<void> {
    return Promise.resolve();
  }

  override deadLetters(): never {
    throw new Error('not used');
  }

  override async drain(): Promise<DrainReport> {
    return { finished: 0, abandoned: [] };
  }

  #deliver(topic: string, payload: unknown): void {
    for (const handler of this.#handlers)
      handler(payload, { id: '1', topic, payload, headers: {}, publishedAt: 0, attempt: 1 });
  }
}

class NoJitter extends SystemIds {
  override random(): number {
    return 0;
  }
}

async function setUp(instances = ['a', 'b']) {
  const clock = new VirtualClock();
  const bus = new FatefulBus();
  const events = new MeshEvents();
  const caches = instances.map(
    (instance) =>
      new MeshCache(fixedOptions(cacheSchema.parse({ sweepMs: 86_400_000, ttlMs: 3_600_000 })), {
        clock,
        events,
        ids: new NoJitter(),
        metrics: new PrometheusMetrics(fixedOptions(metricsSchema.parse({})), events),
        contexts: new CallContexts(),
        service: new ServiceInfo('shop', instance),
        broker: bus,
      }),
  );
  for (const cache of caches) await cache.start();
  return { clock, bus, events, caches, a: caches[0]!, b: caches[1]! };
}

describe('invalidation across instances', () => {
  it('deletes, expires, clears and deletes by tag everywhere, and never sends a value', async () => {
    const { clock, bus, a, b } = await setUp();
    for (const key of ['deleted', 'expired', 'tagged', 'set']) await b.set(key, 'secret', { tags: [key] });
    await b.namespace('n').set('k', 'secret');
    await clock.advance(BUS_BATCH_MS);
    await a.delete('deleted');
    await a.expire('expired');
    await a.deleteByTag('tagged');
    await a.set('set', 'secret too');
    await a.namespace('n').clear();
    await clock.advance(BUS_BATCH_MS);
    expect(await b.entry('deleted')).toEqual({ found: false });
    expect(await b.entry('tagged')).toEqual({ found: false });
    expect(await b.namespace('n').entry('k')).toEqual({ found: false });
    expect(await b.entry('expired')).toMatchObject({ state: 'stale' });
    expect(await b.entry('set')).toMatchObject({ state: 'stale' });
    expect(await a.get('set')).toBe('secret too');
    expect(JSON.stringify(bus.sent)).not.toContain('secret');
  });

  it('sends many changes of a few milliseconds as one message, each once', async () => {
    const { clock, bus, a } = await setUp();
    for (let i = 0; i < 50; i++) await a.delete(`k${i % 10}`);
    await clock.advance(BUS_BATCH_MS);
    expect(bus.sent).toHaveLength(1);
    expect((bus.sent[0] as { changes: unknown[] }).changes).toHaveLength(10);
  });

  it('keeps a load that began before the delete elsewhere from bringing the old value back', async () => {
    const { clock, a, b } = await setUp();
    const slow = Promise.withResolvers<string>();
    const loading = b.getOrSet('k', () => slow.promise);
    await a.delete('k');
    await clock.advance(BUS_BATCH_MS);
    slow.resolve('old');
    expect(await loading).toBe('old');
    expect(await b.getOrSet('k', () => 'new')).toBe('new');
  });

  it('trusts nothing any more once a later message shows that one was lost', async () => {
    const { clock, bus, a, b } = await setUp();
    await b.set('k', 'old');
    await clock.advance(BUS_BATCH_MS);
    bus.fates = ['lose'];
    await a.delete('k');
    await clock.advance(BUS_BATCH_MS);
    expect(await b.get('k')).toBe('old');
    await a.delete('other');
    await clock.advance(BUS_BATCH_MS);
    expect(await b.entry('k')).toMatchObject({ state: 'stale', value: 'old' });
  });

  it('takes a message that comes late or twice for no gap', async () => {
    const { clock, bus, a, b } = await setUp();
    bus.fates = ['hold', 'deliver'];
    for (const key of ['late', 'on time']) {
      await a.delete(key);
      await clock.advance(BUS_BATCH_MS);
    }
    await b.set('k', 1);
    await clock.advance(BUS_BATCH_MS);
    bus.release();
    bus.fates = ['repeat'];
    await a.delete('other');
    await clock.advance(BUS_BATCH_MS);
    expect(await b.entry('k')).toMatchObject({ state: 'fresh' });
  });

  it.each(['lose', 'refuse'] as const)('notices by the heartbeat when the last message was lost (%s)', async (fate) => {
    const { clock, bus, a, b } = await setUp();
    await b.set('k', 'old');
    await clock.advance(BUS_BATCH_MS);
    bus.fates = [fate];
    await a.delete('k');
    await clock.advance(BUS_BATCH_MS);
    expect(a.readHealth()[1]!.status).toBe(fate === 'refuse' ? 'degraded' : 'up');
    await clock.advance(BUS_HEARTBEAT_MS);
    expect(await b.get('k')).toBeUndefined();
    expect(a.readHealth()[1]!.status).toBe('up');
  });

  it('trusts nothing when an instance it knew has started anew, or says what it can not read', async () => {
    const { bus, b } = await setUp();
    const hello = (epoch: string) => ({ version: 1, instance: 'c', epoch, sequence: 0, changes: [] });
    await b.set('k', 1);
    bus.inject(hello('first'));
    expect(await b.get('k')).toBe(1);
    bus.inject(hello('second'));
    expect(await b.get('k')).toBeUndefined();
    await b.set('k', 2);
    bus.inject({ version: 2 });
    expect(await b.get('k')).toBeUndefined();
  });

  describe('while the broker is away', () => {
    const away = { transport: 'nats', state: 'away', reason: 'connection refused' } as const;

    it('keeps nothing in memory fresh for more than 5 s, what is loaded then included', async () => {
      const { clock, events, a } = await setUp();
      await a.set('before', 1);
      await a.set('short', 1, { ttlMs: 2_000 });
      events.emit('broker.connection', away);
      await a.set('meanwhile', 2, { ttlMs: 'forever' });
      expect(a.readHealth()[1]).toMatchObject({ status: 'degraded' });
      expect(a.readHealth()[1]!.reason).toContain('connection refused');
      await clock.advance(2_000);
      expect(await a.entry('short')).toMatchObject({ state: 'stale' });
      await clock.advance(2_900);
      for (const key of ['before', 'meanwhile']) expect(await a.entry(key)).toMatchObject({ state: 'fresh' });
      await clock.advance(100);
      for (const key of ['before', 'meanwhile']) expect(await a.entry(key)).toMatchObject({ state: 'stale' });
    });

    it('trusts nothing once it is back, and keeps values for their whole ttl again', async () => {
      const { clock, events, a } = await setUp();
      await a.set('k', 'old');
      events.emit('broker.connection', away);
      events.emit('broker.connection', { ...away, state: 'up', reason: 'connected' });
      expect(await a.entry('k')).toMatchObject({ state: 'stale' });
      expect(a.readHealth()[1]!.status).toBe('up');
      expect(await a.getOrSet('k', () => 'new')).toBe('new');
      await clock.advance(60_000);
      expect(await a.entry('k')).toMatchObject({ state: 'fresh', value: 'new' });
    });

    it('tells that by a message that did not leave, too', async () => {
      const { clock, bus, a } = await setUp();
      await a.set('k', 1);
      await clock.advance(BUS_BATCH_MS);
      bus.fates = ['refuse'];
      await a.delete('other');
      await clock.advance(BUS_BATCH_MS);
      await clock.advance(4_900);
      expect(await a.entry('k')).toMatchObject({ state: 'fresh' });
      await clock.advance(200);
      expect(await a.entry('k')).toMatchObject({ state: 'stale' });
    });

    it('remembers no more than its bound, and the others notice that something is missing', async () => {
      const { clock, bus, a, b } = await setUp();
      await b.set('k', 'old');
      await clock.advance(BUS_BATCH_MS);
      const taken = Promise.withResolvers<void>();
      bus.takes = taken.promise;
      await a.delete('k');
      await clock.advance(BUS_BATCH_MS);
      bus.fates = ['lose'];
      for (let i = 0; i < 2 * BUS_MAX_PENDING; i++) await a.delete(`k${i}`);
      taken.resolve();
      bus.takes = undefined;
      await clock.advance(2 * BUS_HEARTBEAT_MS);
      expect(bus.sent.length).toBeLessThan(BUS_MAX_PENDING / 100);
      expect(await b.get('k')).toBeUndefined();
    });
  });

  it('leaves no fresh old value behind, whatever happens to the messages on the way', async () => {
    const fates = fc.array(fc.constantFrom<Fate>('deliver', 'lose', 'repeat', 'hold', 'refuse'), { maxLength: 12 });
    const keys = fc.array(fc.constantFrom('x', 'y', 'z'), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(fates, keys, async (chosen, changed) => {
        const { clock, bus, a, b } = await setUp();
        const truth: Record<string, number> = { x: 0, y: 0, z: 0 };
        const read = (cache: MeshCache, key: string) => cache.getOrSet(key, () => truth[key]);
        for (const key of Object.keys(truth)) await read(b, key);
        bus.fates = [...chosen];
        for (const key of changed) {
          truth[key]!++;
          await a.delete(key);
          await clock.advance(BUS_BATCH_MS);
          await read(b, key);
        }
        bus.fates = [];
        bus.release();
        await clock.advance(BUS_HEARTBEAT_MS + BUS_BATCH_MS);
        for (const key of Object.keys(truth)) expect(await read(b, key)).toBe(truth[key]);
        for (const cache of [a, b]) await cache.stop();
        expect(clock.pendingTimers).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  it('stops listening and leaves no timer', async () => {
    const { clock, bus, caches, a } = await setUp();
    await a.delete('k');
    for (const cache of caches) await cache.stop();
    expect(bus.sent).toHaveLength(1);
    expect(clock.pendingTimers).toBe(0);
  });
});
