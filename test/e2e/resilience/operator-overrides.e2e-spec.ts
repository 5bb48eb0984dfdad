import { setTimeout as sleep } from 'node:timers/promises';
import { type INestApplication, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Keyv } from 'keyv';
import { HealthAggregator, MeshEvents, MeshModule, Resilient, ServiceMesh } from 'nestjs-mesh';
import { afterEach, describe, expect, it } from 'vitest';

@Injectable()
class Payments {
  @Resilient('payments.charge', { retry: false, circuitBreaker: { minimumCalls: 2 } })
  async charge(): Promise<string> {
    return 'charged';
  }
}

describe('two instances of a service with one second tier', () => {
  const running: INestApplication[] = [];
  afterEach(() => Promise.all(running.splice(0).map((app) => app.close())));

  const boot = async (store: Map<string, unknown>) => {
    @Module({
      imports: [
        MeshModule.forRoot({
          service: { name: 'shop' },
          logging: { level: 'silent' },
          cache: { store: new Keyv({ store }) },
          resilience: { sharePollMs: 500 },
        }),
      ],
      providers: [Payments],
    })
    class App {}
    const app = (await Test.createTestingModule({ imports: [App] }).compile()).createNestApplication({ logger: false });
    const told: string[] = [];
    app.get(MeshEvents).on('policy.resolved', ({ policy, order }) => told.push(`${policy}: ${order}`));
    await app.init();
    running.push(app);
    return { app, told, mesh: app.get(ServiceMesh) };
  };

  const until = async (condition: () => boolean) => {
    const limit = performance.now() + 5_000;
    while (!condition() && performance.now() < limit) await sleep(20);
    expect(condition()).toBe(true);
  };

  it('both obey what an operator tells one of them', async () => {
    const store = new Map<string, unknown>();
    const [a, b] = [await boot(store), await boot(store)];
    const states = () => [a, b].map(({ mesh }) => mesh.breakers.breaker('payments.charge').state);
    a.mesh.breakers.breaker('payments.charge').isolate({ reason: 'provider is down', author: 'alice' });
    await until(() => states()[1] === 'isolated');
    await expect(b.app.get(Payments).charge()).rejects.toMatchObject({ code: 'MESH_CIRCUIT_ISOLATED' });
    expect(b.app.get(HealthAggregator).snapshot('ready').status).not.toBe('down');

    b.mesh.breakers.breaker('payments.charge').release();
    await until(() => states().every((state) => state === 'closed'));
    await expect(a.app.get(Payments).charge()).resolves.toBe('charged');
  });

  it('say at the start in which order each policy works', async () => {
    const { told } = await boot(new Map());
    expect(told).toContain(
      'payments.charge: total timeout 30000 ms -> circuit breaker 50 % -> attempt timeout 10000 ms -> function',
    );
  });
});
