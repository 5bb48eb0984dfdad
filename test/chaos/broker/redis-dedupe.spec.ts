import { execFileSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RedisDedupeStore } from '../../../libs/mesh/src/broker/dedupe/redis-dedupe.adapter.js';
import { SystemClock } from '../../../libs/mesh/src/core/clock.js';
import { MeshEvents } from '../../../libs/mesh/src/core/mesh.events.js';
import { RedisServer } from '../cache/redis-server.js';

const redisIsHere = process.env['CI'] === 'true' || isInstalled();

let redis: RedisServer;
const stores: RedisDedupeStore[] = [];

function store(): RedisDedupeStore {
  const created = new RedisDedupeStore(redis.url, 'mesh:dedupe:shop:', {
    clock: new SystemClock(),
    events: new MeshEvents(),
  });
  stores.push(created);
  return created;
}

describe.skipIf(!redisIsHere)(
  `dedupe in Redis${redisIsHere ? '' : ' (skipped: redis-server is not installed)'}`,
  () => {
    beforeEach(async () => {
      redis = await RedisServer.start();
    });
    afterEach(async () => {
      await Promise.all(stores.splice(0).map((each) => each.stop()));
      await redis.kill();
    });

    it('gives a message id to one of two instances, and tells the other when it is done', async () => {
      const [a, b] = [store(), store()];
      const claims = await Promise.all([a.claim('m-1', 1_000), b.claim('m-1', 1_000)]);
      expect(claims.toSorted()).toEqual(['busy', 'mine']);
      await a.done('m-1', 60_000);
      expect(await b.claim('m-1', 1_000)).toBe('done');
    });

    it('gives an id again that was released, or whose lease is over', async () => {
      const [a, b] = [store(), store()];
      await a.claim('m-1', 60_000);
      await a.release('m-1');
      expect(await b.claim('m-1', 50)).toBe('mine');
      await expect.poll(() => a.claim('m-1', 50)).toBe('mine');
    });

    it('rejects at once while Redis is away, and works again when it is back', async () => {
      const subject = store();
      await subject.claim('m-1', 1_000);
      await redis.kill();
      await expect.poll(() => subject.claim('m-2', 1_000).catch(() => 'rejected')).toBe('rejected');
      const startedAt = performance.now();
      await expect(subject.claim('m-3', 1_000)).rejects.toThrow();
      expect(performance.now() - startedAt).toBeLessThan(500);
      await redis.start();
      await expect.poll(() => subject.claim('m-4', 1_000).catch(() => 'rejected'), { timeout: 8_000 }).toBe('mine');
    }, 20_000);

    it('waits for a hung Redis once, then rejects at once, and works again when it answers', async () => {
      const subject = store();
      await subject.claim('m-1', 1_000);
      redis.pause();
      await expect(subject.claim('m-2', 1_000)).rejects.toThrow(/did not answer within 2000 ms/);
      const startedAt = performance.now();
      await expect(subject.done('m-2', 1_000)).rejects.toThrow(/asked again/);
      expect(performance.now() - startedAt).toBeLessThan(500);
      redis.resume();
      await expect.poll(() => subject.claim('m-3', 1_000).catch(() => 'rejected'), { timeout: 8_000 }).toBe('mine');
    }, 20_000);

    it('waits no longer for one that is hung from the beginning, and leaves no connection behind', async () => {
      redis.pause();
      const subject = store();
      await expect(subject.claim('m-1', 1_000)).rejects.toThrow(/did not answer/);
      await subject.stop();
      redis.resume();
      await expect.poll(() => redis.connections()).toEqual([]);
    }, 20_000);

    it('opens no connection after its stop: a handler that was given up may still end', async () => {
      const subject = store();
      await subject.claim('m-1', 60_000);
      await subject.stop();
      await expect(subject.done('m-1', 60_000)).rejects.toThrow(/closed/);
    });

    it('rejects when Redis was never there', async () => {
      await redis.kill();
      await expect(store().claim('m-1', 1_000)).rejects.toThrow();
    });
  },
);

function isInstalled(): boolean {
  try {
    execFileSync('redis-server', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
