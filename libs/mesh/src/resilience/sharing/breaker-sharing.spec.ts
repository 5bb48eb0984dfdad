import { AsyncLocalStorage } from 'node:async_hooks';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { failing, ResilienceFixture } from '../../../../../test/resilience/resilience.fixture.js';
import { SharedStore } from '../../../../../test/resilience/shared-store.fixture.js';
import { VirtualClock } from '../../testing/virtual-clock.js';

const POLL_MS = 5_000;
const SOON_MS = 250;

describe('breakers of several instances', () => {
  const options = {
    policies: {
      pay: { retry: false, circuitBreaker: { minimumCalls: 2, openJitterRatio: 0, openMs: 20_000 } },
      'store:l2': { retry: false, circuitBreaker: { minimumCalls: 2 } },
      bare: { circuitBreaker: false },
    },
  } as const;
  let clock: VirtualClock;
  let store: SharedStore;
  let instances: ResilienceFixture[];

  /** One more instance over the same store. */
  const start = async (own: ConstructorParameters<typeof ResilienceFixture>[0] = options) => {
    const instance = new ResilienceFixture(own, clock);
    instances.push(instance);
    const id = `instance ${instances.length}`;
    instance.ids.next = () => id;
    instance.manager.share(store, { except: ['store:l2'] });
    await clock.advance(0);
    return instance;
  };
  const stateOf = ({ manager }: ResilienceFixture, key?: string) => manager.breaker('pay', key).state;
  const fail = async ({ manager }: ResilienceFixture, policy = 'pay', key?: string) => {
    for (let call = 0; call < 2; call++)
      await manager
        .policy(policy)
        .execute(failing, key === undefined ? {} : { key })
        .catch(() => undefined);
  };

  beforeEach(() => {
    clock = new VirtualClock();
    store = new SharedStore(clock);
    instances = [];
  });

  afterEach(async () => {
    for (const { manager } of instances) manager.dispose();
    for (const instance of instances) await instance.close();
  });

  describe('what an operator says', () => {
    it('reaches the other instances at their next look, with reason, author and end', async () => {
      const [a, b] = [await start(), await start()];
      a.manager.breaker('pay').isolate({ reason: 'provider is down', author: 'alice', ttlMs: 60_000 });
      await clock.advance(SOON_MS + POLL_MS);
      expect(b.manager.breaker('pay').snapshot()).toMatchObject({
        state: 'isolated',
        held: { reason: 'provider is down', author: 'alice', until: Date.UTC(2026, 0, 1) + 60_000 },
      });
      await clock.advance(60_000);
      expect([stateOf(a), stateOf(b)]).toEqual(['closed', 'closed']);
    });

    it('holds the breaker of a key, made for it', async () => {
      const [a, b] = [await start(), await start()];
      a.manager.breaker('pay', 'tenant-1').disable({ reason: 'test' });
      await clock.advance(SOON_MS + POLL_MS);
      expect([stateOf(b, 'tenant-1'), stateOf(b)]).toEqual(['disabled', 'closed']);
    });

    it('is taken back everywhere, whoever takes it back', async () => {
      const [a, b] = [await start(), await start()];
      a.manager.breaker('pay').isolate({ reason: 'test' });
      await clock.advance(SOON_MS + POLL_MS);
      b.manager.breaker('pay').release();
      await clock.advance(SOON_MS + POLL_MS);
      expect([stateOf(a), stateOf(b)]).toEqual(['closed', 'closed']);
    });

    it.each(['reset', Symbol.dispose] as const)('is taken back by %s as well', async (how) => {
      const [a, b] = [await start(), await start()];
      const hold = a.manager.breaker('pay').isolate({ reason: 'test' });
      await clock.advance(SOON_MS + POLL_MS);
      if (how === 'reset') a.manager.breaker('pay').reset();
      else hold[Symbol.dispose]();
      await clock.advance(SOON_MS + POLL_MS);
      expect(stateOf(b)).toBe('closed');
    });

    it('holds in an instance that starts long after the last look of all others', async () => {
      const a = await start();
      a.manager.breaker('pay').isolate({ reason: 'until further notice' });
      await clock.advance(SOON_MS);
      a.manager.dispose();
      await clock.advance(86_400_000);
      expect(stateOf(await start())).toBe('isolated');
    });

    it('was said before the instance began to share', async () => {
      const a = new ResilienceFixture(options, clock);
      instances.push(a);
      a.manager.breaker('pay').isolate({ reason: 'early' });
      a.manager.share(store);
      await clock.advance(SOON_MS);
      expect(stateOf(await start())).toBe('isolated');
    });

    it('stays in its instance when it is said for the instance only', async () => {
      const [a, b] = [await start(), await start()];
      a.manager.breaker('pay').isolate({ reason: 'my network', scope: 'instance' });
      await clock.advance(SOON_MS + POLL_MS);
      expect([stateOf(a), stateOf(b), store.writes]).toEqual(['isolated', 'closed', 0]);
    });

    it('is the last word, even if the clock of who says it is behind', async () => {
      const [a, b] = [await start(), await start()];
      a.manager.breaker('pay').isolate({ reason: 'test' });
      await clock.advance(SOON_MS + POLL_MS);
      clock.jump(-3_600_000);
      b.manager.breaker('pay').release();
      await clock.advance(SOON_MS + POLL_MS);
      expect([stateOf(a), stateOf(b)]).toEqual(['closed', 'closed']);
    });

    it('ends the same everywhere when two say different things at once', async () => {
      const [a, b] = [await start(), await start()];
      a.manager.breaker('pay').isolate({ reason: 'a' });
      b.manager.breaker('pay').disable({ reason: 'b' });
      await clock.advance(4 * POLL_MS);
      expect(stateOf(a)).toBe(stateOf(b));
    });

    it('survives that another instance overwrites it, because who knows it says it again', async () => {
      const [a, b] = [await start(), await start()];
      a.manager.breaker('pay').isolate({ reason: 'test' });
      await clock.advance(SOON_MS);
      await store.set('overrides', [], { ttlMs: 2 * POLL_MS });
      await clock.advance(2 * POLL_MS);
      expect(stateOf(b)).toBe('isolated');
    });

    it('waits for a policy that this instance does not know yet', async () => {
      const [a, b] = [await start(), await start({ policies: {} })];
      a.manager.breaker('pay').isolate({ reason: 'test' });
      await clock.advance(SOON_MS + POLL_MS);
      b.manager.declare('pay', { circuitBreaker: {} }, 'Late.pay');
      await clock.advance(POLL_MS);
      expect(stateOf(b)).toBe('isolated');
    });

    it('never reaches the breaker of the store itself', async () => {
      const [a, b] = [await start(), await start()];
      a.manager.breaker('store:l2').isolate({ reason: 'test' });
      await clock.advance(SOON_MS + POLL_MS);
      expect(b.manager.breaker('store:l2').state).toBe('closed');
    });
  });

  describe('an instance that starts', () => {
    it('goes on with a breaker that is still open, and with how often it has opened', async () => {
      const a = await start();
      await fail(a);
      await clock.advance(8_000);
      const b = await start();
      const { state, openUntil, openings } = b.manager.breaker('pay').snapshot();
      expect([state, openUntil, openings]).toEqual(['open', a.manager.breaker('pay').snapshot().openUntil, 1]);
      await clock.advance(12_000);
      expect([stateOf(a), stateOf(b)]).toEqual(['half-open', 'half-open']);
    });

    it('leaves breakers closed whose open time is over', async () => {
      await fail(await start());
      await clock.advance(20_000);
      expect(stateOf(await start())).toBe('closed');
    });

    it('believes its own calls more than what others saw', async () => {
      await fail(await start());
      await clock.advance(SOON_MS);
      const b = new ResilienceFixture(options, clock);
      instances.push(b);
      await b.manager.policy('pay').execute(async () => 1);
      b.manager.share(store);
      await clock.advance(0);
      expect(stateOf(b)).toBe('closed');
    });

    it('takes over no longer a time than its own options allow', async () => {
      await store.set('openings', [{ policy: 'pay', openUntil: clock.now() + 9e9, openings: 3 }], { ttlMs: 9e9 });
      const a = await start();
      expect(a.manager.breaker('pay').snapshot().openUntil).toBe(clock.now() + 60_000);
    });
  });

  it('never opens in a running instance because it opened in another', async () => {
    const [a, b] = [await start(), await start()];
    await fail(a);
    await clock.advance(3 * POLL_MS);
    expect([stateOf(a), stateOf(b)]).toEqual(['open', 'closed']);
  });

  it('costs one read a look, and no write, while nothing was ever said', async () => {
    await start();
    const before = store.reads;
    await clock.advance(10 * POLL_MS);
    expect([store.reads - before, store.writes]).toEqual([10, 0]);
  });

  it('is not looked after when switched off, and again when switched on', async () => {
    const a = await start({ ...options, sharePollMs: false });
    await fail(a);
    await clock.advance(10 * POLL_MS);
    expect([store.reads, store.writes, clock.pendingTimers]).toEqual([0, 0, 0]);
    a.reload({ ...options, sharePollMs: 1_000 });
    await clock.advance(1_000);
    expect(store.reads).toBeGreaterThan(0);
  });

  it('stops with the drain, whatever is still under way', async () => {
    const a = await start();
    await fail(a);
    store.mode = 'hangs';
    await clock.advance(SOON_MS);
    await a.manager.drain({ signal: new AbortController().signal });
    expect(clock.pendingTimers).toBe(0);
  });

  it('keeps the context of the request in which an operator spoke to itself', async () => {
    const request = new AsyncLocalStorage<string>();
    const a = await start();
    const seen: unknown[] = [];
    store.set = async () => void seen.push(request.getStore());
    request.run('request 1', () => a.manager.breaker('pay').isolate({ reason: 'test' }));
    await clock.advance(SOON_MS);
    expect(seen).toEqual([undefined]);
  });

  describe.each(['hangs', 'throws', 'throws at once'] as const)('with a store that %s', (mode) => {
    it('changes the result of no call and the state of no breaker', async () => {
      const a = await start();
      a.manager.breaker('pay', 'held').isolate({ reason: 'test' });
      await fail(a, 'pay', 'open');
      await clock.advance(SOON_MS);
      store.mode = mode;
      await clock.advance(10 * POLL_MS);
      expect([stateOf(a), stateOf(a, 'held'), stateOf(a, 'open')]).toEqual(['closed', 'isolated', 'half-open']);
      await expect(a.manager.policy('pay').execute(async () => 1)).resolves.toBe(1);
    });

    it('starts as if there were none, says so once, and less and less often asks again', async () => {
      store.mode = mode;
      const a = await start();
      await clock.advance(600_000);
      expect(store.reads).toBeLessThan(20);
      expect(a.eventsOf('breaker.sharing')).toMatchObject([{ state: 'away' }]);
      expect(stateOf(a)).toBe('closed');
    });

    it('tells what was said meanwhile when the store is back', async () => {
      const [a, b] = [await start(), await start()];
      store.mode = mode;
      await clock.advance(2 * POLL_MS);
      a.manager.breaker('pay').isolate({ reason: 'test' });
      await clock.advance(POLL_MS);
      store.mode = 'well';
      await clock.advance(60_000);
      expect(stateOf(b)).toBe('isolated');
      expect(a.eventsOf('breaker.sharing').map(({ state }) => state)).toEqual(['away', 'up']);
    });
  });

  it('does not say that the store is back because a stop cuts a look short', async () => {
    store.mode = 'hangs';
    const a = await start();
    await clock.advance(2_000 + 2 * POLL_MS + 1_000);
    const { reads } = store;
    a.manager.dispose();
    await clock.advance(60_000);
    expect(a.eventsOf('breaker.sharing').map(({ state }) => state)).toEqual(['away']);
    expect(store.reads).toBe(reads);
  });

  it('gives a store that has forgotten everything back what still holds, and holds on to it', async () => {
    const [a, b] = [await start(), await start()];
    a.manager.breaker('pay').isolate({ reason: 'test' });
    await clock.advance(SOON_MS + POLL_MS);
    store.forget();
    await clock.advance(POLL_MS);
    expect([stateOf(a), stateOf(b), stateOf(await start())]).toEqual(['isolated', 'isolated', 'isolated']);
  });

  it('takes nothing from a store that holds what nobody of this version wrote', async () => {
    await store.set('overrides', { some: 'thing' });
    const a = await start();
    await clock.advance(POLL_MS);
    expect(a.eventsOf('breaker.sharing')).toMatchObject([{ state: 'away' }]);
    expect(stateOf(a)).toBe('closed');
  });

  it('refuses a hold of no length', () => {
    const a = new ResilienceFixture(options, clock);
    instances.push(a);
    expect(() => a.manager.breaker('pay').isolate({ reason: 'test', ttlMs: 0 })).toThrow('ttlMs must be above 0');
  });
});
