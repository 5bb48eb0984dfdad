import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@keyv/redis';
import { Test } from '@nestjs/testing';
import { MeshModule, type MeshOptions, ServiceMesh } from 'nestjs-mesh';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RedisServer } from '../cache/redis-server.js';
import { until } from '../cache/shared-cache.js';

const ops = { source: 'ops', healthWindowMs: 200 };
const to = (redis: RedisServer) => ({ cache: { redis: { url: redis.url } } });

let first: RedisServer;
let second: RedisServer;
let apps: { close(): Promise<void> }[] = [];

async function boot(cache: MeshOptions['cache'] = { redis: { url: first.url } }): Promise<ServiceMesh> {
  const module = await Test.createTestingModule({
    imports: [MeshModule.forRoot({ service: { name: 'orders' }, logging: { level: 'silent' }, cache })],
  }).compile();
  apps.push(module);
  await module.init();
  return module.get(ServiceMesh);
}

async function keysIn(redis: RedisServer): Promise<number> {
  const client = await createClient({ url: redis.url }).connect();
  const size = await client.dbSize();
  client.destroy();
  return size;
}

/** Writes until something arrives there. */
async function isUsed(mesh: ServiceMesh, redis: RedisServer): Promise<void> {
  const before = await keysIn(redis);
  await until(async () => {
    await mesh.cache.set(`probe ${Math.random()}`, 1);
    return (await keysIn(redis)) > before;
  }, 5_000);
}

/** Callers that ask for short-lived values without a pause, until they are told to stop. */
function load(mesh: ServiceMesh) {
  const count = { answered: 0, wrong: 0, slowestMs: 0 };
  let over = false;
  const caller = async (id: number): Promise<void> => {
    for (let i = id; !over; i += 7) {
      const key = `k${i % 300}`;
      const startedAt = performance.now();
      const value = await mesh.cache.getOrSet(key, () => key, { ttlMs: 20, graceMs: 0 }).catch(String);
      count.slowestMs = Math.max(count.slowestMs, performance.now() - startedAt);
      if (value === key) count.answered++;
      else count.wrong++;
      await sleep(1);
    }
  };
  const callers = Promise.all(Array.from({ length: 20 }, (_, id) => caller(id)));
  return async () => {
    over = true;
    await callers;
    return count;
  };
}

beforeEach(async () => {
  [first, second] = await Promise.all([RedisServer.start(), RedisServer.start()]);
});

afterEach(async () => {
  await Promise.all(apps.map((app) => app.close()));
  apps = [];
  await Promise.all([first.kill(), second.kill()]);
});

describe('another Redis while requests run', () => {
  it('takes over without losing a request, and the old one is not needed any more', async () => {
    const mesh = await boot();
    await isUsed(mesh, first);
    const stop = load(mesh);
    await sleep(200);

    const { outcome, changes, leftovers } = await mesh.config.update(to(second), ops);
    await first.kill();
    await sleep(300);
    const { answered, wrong, slowestMs } = await stop();

    expect({ outcome, leftovers, wrong }).toEqual({ outcome: 'applied', leftovers: [], wrong: 0 });
    expect(changes).toEqual([{ path: 'cache.redis.url', from: '***', to: '***', update: 'swap' }]);
    expect(answered).toBeGreaterThan(1_000);
    // A read waits 250 ms for a second tier at most; the rest is for a busy machine.
    expect(slowestMs).toBeLessThan(1_000);
    await isUsed(mesh, second);
  });

  it('is refused when it does not answer, and the one in use stays', { timeout: 20_000 }, async () => {
    const mesh = await boot();
    await isUsed(mesh, first);
    second.pause();
    const stop = load(mesh);

    await expect(mesh.config.update(to(second), ops)).rejects.toMatchObject({
      code: 'MESH_CONFIG_REFUSED',
      message: expect.stringContaining('cache failed to prepare it: the second tier did not answer within 4500 ms'),
    });

    expect(await stop()).toMatchObject({ wrong: 0 });
    expect(mesh.config.generation).toBe(1);
    await isUsed(mesh, first);
  });

  it('says why it could not be reached', { timeout: 20_000 }, async () => {
    const mesh = await boot();
    await second.kill();
    await expect(mesh.config.update(to(second), ops)).rejects.toThrow(/did not answer within 4500 ms \(.*ECONNREFUSED/);
  });

  it('goes again when the service gets worse with it, and nothing that was deleted meanwhile comes back', async () => {
    const mesh = await boot();
    await isUsed(mesh, first);
    await mesh.cache.set('deleted', 'old');
    await isUsed(mesh, first);
    mesh.health.register({ name: 'ledger', groups: { ready: 'required' } });
    mesh.health.update('ledger', { status: 'up' });

    const update = mesh.config.update(to(second), { ...ops, healthWindowMs: 10_000 });
    const refusal = expect(update).rejects.toMatchObject({ code: 'MESH_CONFIG_ROLLED_BACK' });
    await until(() => mesh.config.generation === 2, 5_000);
    await mesh.cache.delete('deleted');
    mesh.health.update('ledger', { status: 'down', reason: 'no answer' });
    await refusal;

    await isUsed(mesh, first);
    expect(await mesh.cache.get('deleted')).toBeUndefined();
    expect(mesh.config.generation).toBe(3);
  });

  it('can come where there was none, and go without a successor', async () => {
    const mesh = await boot({});
    await mesh.config.update(to(first), ops);
    await isUsed(mesh, first);

    await mesh.config.update({ cache: { redis: null } }, ops);
    await first.kill();
    expect(await mesh.cache.getOrSet('k', () => 1)).toBe(1);
  });
});
