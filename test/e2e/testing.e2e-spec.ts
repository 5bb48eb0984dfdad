import { Controller, Get, Injectable, type INestApplicationContext } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { Cacheable, callSignal, MeshModule, type MeshOptions, Resilient, Subscribe } from 'nestjs-mesh';
import { MeshTestingModule, type MeshTestingOptions, MeshTestKit } from 'nestjs-mesh/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

interface Order {
  readonly id: string;
  readonly at?: Date;
}

@Injectable()
class Payments {
  charged = 0;

  @Resilient('payments.charge', { idempotent: true, fallback: 'later' })
  async charge(_id: string): Promise<string> {
    this.charged++;
    return 'paid';
  }

  later(): Promise<string> {
    return Promise.resolve('later');
  }

  @Resilient('payments.refund', { retry: { maxRetries: 2 } })
  async refund(): Promise<AbortSignal> {
    return callSignal();
  }
}

@Injectable()
class Rates {
  loads = 0;

  @Cacheable({ namespace: 'rates', ttlMs: 30_000 })
  async rate(_currency: string): Promise<number> {
    return ++this.loads;
  }
}

@Controller()
class Stock {
  readonly seen: unknown[] = [];
  fail = false;

  @MessagePattern('stock.reserve')
  reserve(order: Order): unknown {
    this.seen.push(order);
    return { reserved: order.id, at: new Date(0) };
  }

  @Subscribe('order.placed', { dedupe: true, name: 'once' })
  onceFor(order: Order): void {
    this.seen.push(['once', order]);
  }

  @Subscribe('order.placed', { name: 'each' })
  eachFor(order: { id: string; touched?: boolean }): void {
    this.seen.push(['each', { ...order }]);
    order.touched = true;
    if (this.fail) throw new Error('no');
  }
}

@Controller()
class Slow {
  answer: ((text: string) => void) | undefined;

  @Get('slow')
  slow(): Promise<string> {
    return new Promise((resolve) => (this.answer = resolve));
  }
}

// As it would be in production, with servers that are not there.
const options: MeshOptions = {
  service: { name: 'orders' },
  broker: { transport: 'nats', servers: 'nats://127.0.0.1:1', requestTimeoutMs: 700 },
  cache: { redis: { url: 'redis://127.0.0.1:1' }, secondTier: { required: true } },
  resilience: {
    policies: { 'payments.*': { timeoutMs: 800, circuitBreaker: { minimumCalls: 2, openMs: 2_000 } } },
  },
};

describe('the test kit', () => {
  let app: INestApplicationContext;
  let kit: MeshTestKit;

  async function start(testing?: MeshTestingOptions): Promise<void> {
    const module = await MeshTestingModule.createTestingModule(
      { imports: [MeshModule.forRoot(options)], controllers: [Stock], providers: [Payments, Rates] },
      testing,
    ).compile();
    app = await module.init();
    kit = app.get(MeshTestKit);
  }
  beforeEach(() => start());
  afterEach(async () => {
    await app.close();
    await kit.expectQuiet();
  });

  it('starts an application whose servers are not there', () => {
    expect(kit.mesh.lifecycle.phase).toBe('ready');
    expect(kit.mesh.config.snapshot.broker).toMatchObject({ transport: 'in-process', requestTimeoutMs: 700 });
    expect(kit.mesh.config.snapshot.cache.redis).toBeUndefined();
  });

  it('changes options for one test, and does not read the MESH_ variables of the machine', async () => {
    await app.close();
    vi.stubEnv('MESH_LIFECYCLE__READYZ', 'nonsense');
    await start({
      configure: (given) => ({ ...given, service: { name: 'changed' } }),
      env: { MESH_CACHE__TTL_MS: '1234' },
    });
    vi.unstubAllEnvs();
    expect(kit.mesh.name).toBe('changed');
    expect(kit.mesh.config.snapshot.cache.ttlMs).toBe(1_234);
  });

  it('says that a mesh is missing', async () => {
    await expect(MeshTestingModule.createTestingModule({ providers: [] }).compile()).rejects.toThrow(
      'MeshTestingModule finds no mesh',
    );
  });

  describe('policies', () => {
    it('fail, as often as the test says', async () => {
      const payments = app.get(Payments);
      kit.policy('payments.charge').fails(new Error('bank on fire'), { times: 1 });
      const call = payments.charge('a');
      await kit.clock.advance(100);
      await expect(call).resolves.toBe('paid');
      expect(kit.events('call.retry')).toEqual([
        expect.objectContaining({ error: expect.objectContaining({ message: 'bank on fire' }) }),
      ]);
      expect(payments.charged).toBe(1);

      kit.policy('payments.charge').fails();
      const failed = payments.charge('a');
      await kit.clock.advance(1_000);
      await expect(failed).resolves.toBe('later');
      expect(payments.charged).toBe(1);
    });

    it('are slow by the virtual clock', async () => {
      kit.policy('payments.refund').delays(700);
      const call = app.get(Payments).refund();
      await kit.clock.advance(699);
      expect(kit.mesh.breakers.inFlight).toBe(1);
      await kit.clock.advance(1);
      await expect(call).resolves.toBeInstanceOf(AbortSignal);
    });

    it('hang into their time limit, and go on when they are restored', async () => {
      kit.policy('payments.refund').hangs();
      const timedOut = expect(app.get(Payments).refund()).rejects.toMatchObject({ code: 'MESH_ATTEMPT_TIMEOUT' });
      await kit.clock.advance(800);
      await timedOut;
      const call = app.get(Payments).refund();
      kit.policy('payments.refund').restore();
      await expect(call).resolves.toBeInstanceOf(AbortSignal);
    });

    it('are described', () => {
      const policy = kit.policy('payments.refund');
      policy.expectStages('total timeout', 'retry 2x', 'circuit breaker', 'attempt timeout 800 ms');
      policy.expectValue('circuitBreaker.openMs', 2_000, 'pattern "payments.*"');
      expect(() => policy.expectStages('retry')).toThrow(/was expected to go through\n {2}retry\nand goes through\n/);
      expect(() => policy.expectValue('circuitBreaker.openMs', 1)).toThrow(
        'circuitBreaker.openMs was expected to be 1 and is 2000 by pattern "payments.*"',
      );
      expect(() => policy.expectValue('bulkhead.maxConcurrent', 1)).toThrow('has no value');
    });
  });

  describe('breakers', () => {
    it('are put into any state', async () => {
      const breaker = kit.breaker('payments.charge');
      breaker.open();
      await expect(app.get(Payments).charge('a')).resolves.toBe('later');
      expect(kit.events('call.rejected')).toEqual([expect.objectContaining({ outcome: 'open' })]);
      await breaker.halfOpen();
      breaker.expectState('half-open');
      for (let i = 0; i < 3; i++) await expect(app.get(Payments).charge('a')).resolves.toBe('paid');
      breaker.expectTransitions('open', 'half-open', 'closed');
      breaker.isolate();
      breaker.expectState('isolated');
      breaker.disable();
      breaker.close();
      expect(() => breaker.expectState('open')).toThrow(
        /Circuit "payments.charge" was expected to be open and is closed/,
      );
      expect(() => breaker.expectTransitions('open')).toThrow('was expected to go to open; it went\n  closed -> open');
    });

    it('open for exactly their open time, because the dice are fixed', async () => {
      kit.breaker('payments.charge').open();
      await kit.clock.advance(1_999);
      kit.breaker('payments.charge').expectState('open');
      await kit.clock.advance(1);
      kit.breaker('payments.charge').expectState('half-open');
    });
  });

  describe('messages', () => {
    const placed = (order: unknown) => kit.mesh.broker.publish('order.placed', order);

    it('arrive as JSON, each delivery a copy of its own', async () => {
      const order = { id: 'a', at: new Date(0), left: undefined };
      await placed(order);
      await kit.clock.advance(0);
      expect((app.get(Stock).seen as [string, Order][]).toSorted()).toEqual([
        ['each', { id: 'a', at: '1970-01-01T00:00:00.000Z' }],
        ['once', { id: 'a', at: '1970-01-01T00:00:00.000Z' }],
      ]);
      expect(app.get(Stock).seen[0]).not.toHaveProperty('1.left');
      expect(order).not.toHaveProperty('touched');
      const answer = await kit.mesh.broker.request('stock.reserve', { id: 'b' });
      expect(answer).toEqual({ reserved: 'b', at: '1970-01-01T00:00:00.000Z' });
    });

    it('are refused when a transport could not send them', async () => {
      await expect(placed({ cents: 5n })).rejects.toMatchObject({ code: 'MESH_PAYLOAD_INVALID' });
      await expect(kit.mesh.broker.request('stock.reserve', () => 1)).rejects.toMatchObject({
        code: 'MESH_PAYLOAD_INVALID',
      });
    });

    it('are remembered', async () => {
      await placed({ id: 'a', lines: [{ sku: 1 }, { sku: 2 }] });
      await kit.mesh.broker.request('stock.reserve', { id: 'a' }, { headers: { tenant: 't' } });
      expect(kit.messages.published('order.placed')).toEqual([expect.objectContaining({ topic: 'order.placed' })]);
      expect(kit.messages.requested('stock.reserve')).toEqual([
        { pattern: 'stock.reserve', payload: { id: 'a' }, headers: { tenant: 't' } },
      ]);
      kit.messages.expectPublished('order.placed', { id: expect.any(String), lines: [{ sku: 1 }, { sku: 2 }] });
      kit.messages.expectRequested('stock.reserve', { id: 'a' });
      kit.messages.expectNotPublished('order.paid');
      kit.messages.expectNotRequested('stock.reserve', { id: 'b' });
      expect(() => kit.messages.expectPublished('order.placed', { id: 'b' })).toThrow(
        /Expected a message for "order.placed" with \{ id: 'b' \}; there was\n {2}\{ id: 'a', lines/,
      );
      expect(() => kit.messages.expectPublished('order.paid')).toThrow(/there was\n.*topic: 'order.placed'/s);
      expect(() => kit.messages.expectNotRequested('stock.reserve')).toThrow('Expected no request "stock.reserve"');
    });

    it('are lost and doubled on purpose', async () => {
      kit.messages.drop('order.placed', { times: 1 });
      await expect(placed({ id: 'lost' })).resolves.toHaveProperty('id');
      kit.messages.duplicate('order.placed', { times: 1 });
      await placed({ id: 'twice' });
      await placed({ id: 'once' });
      await kit.clock.advance(0);
      const seen = app.get(Stock).seen as [string, Order][];
      const of = (name: string) => seen.filter(([handler]) => handler === name).map(([, { id }]) => id);
      expect(of('each')).toEqual(['twice', 'twice', 'once']);
      expect(of('once')).toEqual(['twice', 'once']);
    });

    it('of requests are lost into their timeout', async () => {
      kit.messages.drop('stock.reserve');
      const lost = expect(kit.mesh.broker.request('stock.reserve', {})).rejects.toMatchObject({
        code: 'MESH_REQUEST_TIMEOUT',
      });
      await kit.clock.advance(700);
      await lost;
      kit.messages.restore('stock.reserve');
      await expect(kit.mesh.broker.request('stock.reserve', { id: 'a' })).resolves.toMatchObject({ reserved: 'a' });
    });
  });

  describe('the cache', () => {
    it('loses its second tier and gets it back', async () => {
      const { cache } = kit.mesh;
      await cache.set('k', 1);
      await kit.clock.advance(0);
      kit.cache.takeSecondTierAway();
      for (let i = 0; i < 6; i++) await cache.get(`missing ${i}`);
      expect(kit.events('cache.second-tier')).toEqual([
        expect.objectContaining({ state: 'away', reason: 'the test has taken the second tier away' }),
      ]);
      await expect(app.get(Rates).rate('EUR')).resolves.toBe(1);
      kit.cache.bringSecondTierBack();
      await kit.clock.advance(5_000);
      expect(kit.events('cache.second-tier').at(-1)).toMatchObject({ state: 'up' });
    });

    it('hangs at its second tier for no longer than a read may take', async () => {
      kit.cache.takeSecondTierAway('hangs');
      const read = app.get(Rates).rate('EUR');
      await kit.clock.advance(1_000);
      await expect(read).resolves.toBe(1);
    });

    it('counts its hits', async () => {
      const rates = app.get(Rates);
      await rates.rate('EUR');
      await rates.rate('EUR');
      await rates.rate('USD');
      await kit.cache.expectHits(1, 'rates');
      expect(await kit.cache.misses('rates')).toBe(2);
      await expect(kit.cache.expectHits(2, 'rates')).rejects.toThrow(
        'Cache "rates" was expected to have 2 hits and has 1, beside 2 misses',
      );
    });

    it('has no second tier to lose when the application has none', async () => {
      await app.close();
      await start({ configure: (given) => ({ ...given, cache: {} }) });
      expect(() => kit.cache.takeSecondTierAway()).toThrow('no second tier to take away');
      expect(await kit.cache.hits()).toBe(0);
    });
  });

  describe('metrics', () => {
    it('are read as a scrape would, counters from the last reset', async () => {
      await app.get(Payments).charge('a');
      const labels = { policy: 'payments.charge', outcome: 'success' };
      await kit.metrics.expectValue('mesh_calls_total', labels, 1);
      await kit.reset();
      await app.get(Payments).charge('a');
      expect(await kit.metrics.value('mesh_calls_total', labels)).toBe(1);
      expect(await kit.metrics.value('mesh_call_duration_seconds_count', { policy: 'payments.charge' })).toBe(1);
      expect(await kit.metrics.value('mesh_calls_total', { policy: 'payments.refund' })).toBe(0);
      await expect(kit.metrics.expectValue('mesh_calls_total', labels, 7)).rejects.toThrow('expected to be 7 and is 1');
      await expect(kit.metrics.value('mesh_cals_total')).rejects.toThrow(
        /no metric "mesh_cals_total".*mesh_calls_total/,
      );
    });
  });

  describe('between tests', () => {
    it('says what has not ended', async () => {
      app.get(Stock).fail = true;
      kit.policy('payments.charge').hangs();
      const call = app.get(Payments).charge('a');
      await kit.mesh.broker.publish('order.placed', { id: 'a' });
      await expect(kit.expectQuiet()).rejects.toThrow(
        /Not everything has ended:\n {2}1 calls through policies run, wait or pause\n {2}1 messages wait for their handler/,
      );
      kit.policy('payments.charge').restore();
      app.get(Stock).fail = false;
      await kit.clock.advance(10_000);
      await call;
    });

    it('waits for HTTP requests too', async () => {
      const module = await MeshTestingModule.createTestingModule({
        imports: [MeshModule.forRoot(options)],
        controllers: [Slow],
        providers: [Payments],
      }).compile();
      const http = module.createNestApplication({ logger: false });
      await http.listen(0, '127.0.0.1');
      const slow = http.get(Slow);
      const response = fetch(`${await http.getUrl()}/slow`);
      await vi.waitFor(() => expect(slow.answer).toBeDefined());
      await expect(http.get(MeshTestKit).expectQuiet()).rejects.toThrow('1 HTTP requests are being answered');
      slow.answer!('done');
      expect(await (await response).text()).toBe('done');
      await vi.waitFor(() => http.get(MeshTestKit).expectQuiet());
      await http.close();
      await http.get(MeshTestKit).expectQuiet();
    });

    it('names the timers that a closed application leaves, and who set them', async () => {
      await app.close();
      const timer = kit.clock.setTimer(() => undefined, 500);
      await expect(kit.expectQuiet()).rejects.toThrow(/a timer, due in 500 ms, set by .*testing\.e2e-spec\.ts/);
      timer.cancel();
    });

    it('makes everything work again', async () => {
      kit.policy('payments.charge').fails();
      kit.breaker('payments.refund').open();
      kit.messages.drop('order.placed');
      await kit.mesh.broker.publish('order.placed', {});
      kit.dice.fraction = 0.9;
      kit.clock.run();
      await kit.reset();
      expect(kit.messages.published()).toEqual([]);
      expect(kit.dice.fraction).toBe(0.5);
      const standsAt = kit.clock.monotonic();
      await new Promise((resolve) => setTimeout(resolve, 10));
      expect(kit.clock.monotonic()).toBe(standsAt);
      kit.breaker('payments.refund').expectTransitions();
      await expect(app.get(Payments).charge('a')).resolves.toBe('paid');
      await expect(kit.mesh.broker.publish('order.placed', {})).resolves.toMatchObject({ receivers: 2 });
    });

    it('forgets the messages that were given up', async () => {
      await kit.mesh.broker.subscribe('order.lost', () => Promise.reject(new Error('no')), { maxDeliver: 1 });
      await kit.mesh.broker.publish('order.lost', {});
      await kit.clock.advance(0);
      await expect(kit.metrics.value('mesh_dead_letters')).resolves.toBe(1);
      await kit.reset();
      await expect(kit.metrics.value('mesh_dead_letters')).resolves.toBe(0);
    });

    it('closes an application in which something hangs on the clock', async () => {
      kit.policy('payments.refund').hangs();
      const call = expect(app.get(Payments).refund()).rejects.toMatchObject({ code: expect.stringMatching(/^MESH_/) });
      await app.close();
      await call;
    });
  });
});
