import { setTimeout as sleep } from 'node:timers/promises';
import { Test } from '@nestjs/testing';
import { LogSink, MeshModule, ServiceMesh } from 'nestjs-mesh';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PinoLog } from '../../../libs/mesh/src/logging/pino.adapter.js';

let app: Awaited<ReturnType<typeof boot>>;
let mesh: ServiceMesh;

async function boot() {
  const imports = [MeshModule.forRoot({ service: { name: 'orders' }, logging: { level: 'silent' } })];
  const module = await Test.createTestingModule({ imports }).compile();
  const http = module.createNestApplication({ logger: false });
  await http.listen(0, '127.0.0.1');
  return http;
}

const update = (patch: object) => mesh.config.update(patch, { source: 'test', healthWindowMs: 0 });

beforeEach(async () => {
  app = await boot();
  mesh = app.get(ServiceMesh);
});

afterEach(() => app.close());

/** What the reference calls live, by what the running application does. The protections of policies: see updates. */
describe('without a restart', () => {
  it('the cache takes a new ttl and new bounds', async () => {
    await mesh.cache.set('a', 1);
    await update({ cache: { ttlMs: 20, jitterRatio: 0, maxEntries: 2 } });
    for (const key of ['b', 'c', 'd']) await mesh.cache.set(key, 1);
    expect(mesh.cache.stats().entries).toBe(2);
    await sleep(30);
    expect(await mesh.cache.get('d')).toBeUndefined();
  });

  it('the broker takes new limits of requests', async () => {
    mesh.broker.serve('slow', async () => sleep(200));
    await update({ broker: { requestTimeoutMs: 10, maxInFlight: 1 } });
    const first = mesh.broker.request('slow');
    await expect(mesh.broker.request('slow')).rejects.toMatchObject({ code: 'MESH_OVERLOADED' });
    await expect(first).rejects.toMatchObject({ code: 'MESH_REQUEST_TIMEOUT' });
  });

  it('a subscription takes a new concurrency', async () => {
    let [running, most] = [0, 0];
    await mesh.broker.subscribe('topic', async () => {
      most = Math.max(most, ++running);
      await sleep(5);
      running--;
    });
    await update({ broker: { subscribe: { concurrency: 2 } } });
    for (let i = 0; i < 10; i++) await mesh.broker.publish('topic', i);
    await sleep(60);
    expect(most).toBe(2);
  });

  it('health asks at a new interval and shows what it shall show', async () => {
    let asked = 0;
    mesh.health.register({ name: 'db', check: () => void asked++ });
    await sleep(5);
    expect(asked).toBe(1);
    const probe = async () => (await fetch(`${await app.getUrl()}/health/ready`)).text();
    expect(await probe()).not.toContain('db');

    await update({ health: { everyMs: 100, jitterRatio: 0, details: 'always' } });
    await sleep(250);
    expect(asked).toBeGreaterThanOrEqual(3);
    expect(await probe()).toContain('db');
  });

  it('metrics take a new limit of series', async () => {
    const family = mesh.metrics.counter({ name: 'app_total', help: 'x', labels: ['kind'] });
    await update({ metrics: { maxSeriesPerMetric: 2 } });
    for (const kind of ['a', 'b', 'c', 'd']) family.with({ kind }).inc();
    expect((await mesh.metrics.expose()).body).toContain('app_total{kind="__other__"} 2');
  });

  it('the log takes a new level', async () => {
    const { pino } = app.get<PinoLog>(LogSink);
    expect(pino.isLevelEnabled('fatal')).toBe(false);
    await update({ logging: { level: 'fatal' } });
    expect([pino.isLevelEnabled('fatal'), pino.isLevelEnabled('error')]).toEqual([true, false]);
  });
});
