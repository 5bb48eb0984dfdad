import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DroppingProxy } from './dropping-proxy.js';
import { RedisServer } from './redis-server.js';
import { instancesAround, percentile, shares, timed, until } from './shared-cache.js';

/** MESH_CHAOS=long takes its time. */
const RECONNECTS = process.env['MESH_CHAOS'] === 'long' ? 1_000 : 50;
/** A wait of 100 ms, on a machine that is so busy that it may stop the process for as long again and more. */
const STALLED_MS = 500;

let redis: RedisServer;
const instances = instancesAround(() => redis.url);
const { connected } = instances;

afterEach(async () => {
  await instances.stop();
  await redis.kill();
});

describe.each([
  // Longer than the client waits before it drops a silent connection, so that it has to come back by a new one.
  ['hangs (SIGSTOP)', async () => redis.pause(), async () => redis.resume(), 2_500, 1_500],
  ['hangs for a moment', async () => redis.pause(), async () => redis.resume(), 1_000, 1_500],
  ['is killed', () => redis.kill(), () => redis.start(), 1_500, 2_000],
])('a second tier that %s', (_, breakIt, healIt, brokenMs, backWithinMs) => {
  beforeEach(async () => {
    redis = await RedisServer.start();
  });

  it(
    'costs no error and no more than one bounded wait, and gets afterwards what it missed',
    { timeout: 30_000 },
    async () => {
      const [a, b] = [await connected(), await connected({}, 'b')];
      await a.cache.set('hot', 'hot');
      await a.cache.set('gone', 'old');
      await until(() => shares(a.cache), 1_000);
      await breakIt();

      const cold: number[] = [];
      const hot: number[] = [];
      const endAt = performance.now() + brokenMs;
      for (let i = 0; performance.now() < endAt; i++) {
        const missed = await timed(() => a.cache.getOrSet(`cold ${i}`, () => i));
        expect(missed.value).toBe(i);
        cold.push(missed.ms);
        hot.push((await timed(() => a.cache.getOrSet('hot', () => 'loaded'))).ms);
        if (i % 20 === 0) await sleep(1);
      }
      const waits = cold.filter((ms) => ms > 50);
      expect(waits.length).toBeLessThanOrEqual(10);
      expect(percentile(waits, 0.5)).toBeLessThan(150);
      expect(Math.max(...cold)).toBeLessThan(STALLED_MS);
      // Once the breaker is open nobody waits at all.
      expect(percentile(cold, 0.9)).toBeLessThan(2);
      expect(percentile(hot, 0.99)).toBeLessThan(1);
      expect(a.cache.readHealth()).toMatchObject([{ status: 'degraded' }]);
      expect(a.transitions.map(({ state }) => state)).toEqual(['away']);

      await a.cache.set('made in the outage', 1);
      await a.cache.delete('gone');
      await healIt();
      const took = await until(() => shares(a.cache), 10_000);
      expect(took).toBeLessThan(backWithinMs);
      const reached = await until(async () => (await b.cache.get('made in the outage')) === 1, 5_000);
      expect(took + reached).toBeLessThan(5_000);
      expect(await b.cache.get('gone')).toBeUndefined();
      expect(a.transitions.map(({ state }) => state)).toEqual(['away', 'up']);
    },
  );
});

describe('20,000 reads while the second tier hangs', () => {
  it('leave no more than 5 MB behind', { timeout: 30_000 }, async () => {
    redis = await RedisServer.start();
    const a = await connected();
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const heap = async (): Promise<number> => {
      await sleep(50);
      collect();
      return process.memoryUsage().heapUsed;
    };
    redis.pause();
    const read = async (from: number): Promise<void> => {
      for (let i = from; i < from + 100; i++)
        await Promise.all(Array.from({ length: 100 }, (_, j) => a.cache.get(`cold ${i}:${j}`)));
    };
    await read(0);
    const before = await heap();
    await read(100);
    await read(200);
    expect((await heap()) - before).toBeLessThan(5 * 1_024 * 1_024);
  });
});

describe('a second tier behind a network that drops everything', () => {
  it('costs no error, and is used again soon after the network heals', { timeout: 30_000 }, async () => {
    redis = await RedisServer.start();
    const proxy = new DroppingProxy(redis.port);
    const port = await proxy.listen();
    const a = await connected({ redis: { url: `redis://127.0.0.1:${port}` } });
    proxy.drop();
    const cold: number[] = [];
    const endAt = performance.now() + 2_500;
    for (let i = 0; performance.now() < endAt; i++) {
      cold.push((await timed(() => a.cache.getOrSet(`cold ${i}`, () => i))).ms);
      await sleep(1);
    }
    const waits = cold.filter((ms) => ms > 50);
    expect(waits.length).toBeLessThanOrEqual(10);
    expect(percentile(waits, 0.5)).toBeLessThan(150);
    expect(Math.max(...cold)).toBeLessThan(STALLED_MS);
    proxy.heal();
    expect(await until(() => shares(a.cache), 10_000)).toBeLessThan(8_000);
    await a.cache.stop();
    proxy.close();
  });
});

describe('a connection that breaks over and over', () => {
  it('leaves no listener, timer or socket behind', { timeout: 120_000 }, async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    redis = await RedisServer.start();
    const a = await connected();
    const reconnect = async (): Promise<void> => {
      const [old] = await redis.connections();
      await redis.command('CLIENT KILL TYPE normal');
      await until(async () => {
        const ids = await redis.connections();
        return ids.length === 1 && ids[0] !== old;
      }, 5_000);
    };
    const resources = (): readonly string[] =>
      process
        .getActiveResourcesInfo()
        .filter((type) => type !== 'Immediate')
        .sort();
    await reconnect();
    const before = { resources: resources().length, listeners: a.events.listenerCount() };
    for (let i = 0; i < RECONNECTS; i++) await reconnect();
    await until(() => shares(a.cache), 5_000);
    expect(a.events.listenerCount()).toBe(before.listeners);
    expect(resources().length).toBeLessThanOrEqual(before.resources + 3);
    expect(warnings).toEqual([]);
    process.off('warning', onWarning);
  });
});

describe('a second tier that hangs while the application stops', () => {
  it('holds it up for no more than 2 s', async () => {
    redis = await RedisServer.start();
    const a = await connected();
    redis.pause();
    for (let i = 0; i < 50; i++) await a.cache.set(`k${i}`, i);
    const drained = await timed(() => a.cache.drain());
    const stopped = await timed(() => a.cache.stop());
    expect(drained.ms + stopped.ms).toBeLessThan(2_500);
  });
});
