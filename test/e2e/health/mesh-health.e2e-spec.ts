import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable, Module, type OnModuleInit } from '@nestjs/common';
import { afterEach, describe, expect, it } from 'vitest';
import { MeshComponent, MeshLifecycle, type MeshOptions, ServiceMesh } from 'nestjs-mesh';
import { MeshEvents } from '../../../libs/mesh/src/core/mesh.events.js';
import { HealthContributor } from '../../../libs/mesh/src/health/health-contributor.decorator.js';
import { HealthApps, LedgerModule, mesh, platforms } from './health-app.fixture.js';

describe.each(platforms)('what the rest of the mesh tells its health on %s', (_platform, createAdapter) => {
  const apps = new HealthApps(createAdapter);

  afterEach(() => apps.closeAll());

  it('is ready with the first connection, and no check ran before its dependency was there', async () => {
    const app = await apps.create(mesh({ health: { details: 'always' } }), LedgerModule);
    const transitions: string[] = [];
    app.get(MeshEvents).on('health.transition', ({ contributor, from, to }) => {
      if (contributor === 'ledger') transitions.push(`${from} > ${to}`);
    });
    const get = await apps.listen(app);
    const answer = await get('/health/ready');
    expect([answer.status, await answer.json()]).toMatchObject([
      200,
      { status: 'ok', details: { ledger: { status: 'up' } } },
    ]);
    expect(transitions).toEqual(['unknown > up']);
  });

  it("goes on with its checks after a request's deadline, when that request changed their interval", async () => {
    @Injectable()
    class Prices {
      asked = 0;
      constructor(private readonly serviceMesh: ServiceMesh) {}

      @HealthContributor('prices')
      async ping(): Promise<void> {
        await this.serviceMesh.breakers.policy('prices').execute(async () => undefined);
        this.asked++;
      }
    }
    @Module({ providers: [Prices] })
    class PricesModule {}
    const policies = { prices: { retry: false as const } };
    const ops = { tokens: { write: 'wr1te-of-operators' } };
    const { app, get } = await apps.start(mesh({ resilience: { policies }, ops }), PricesModule);
    const headers = {
      authorization: `Bearer ${ops.tokens.write}`,
      'content-type': 'application/json',
      'x-mesh-ops': 'alice',
      'x-mesh-timeout-ms': '200',
    };
    const body = JSON.stringify({ health: { everyMs: 100 } });
    expect((await get('/mesh/config?healthWindowMs=0', { method: 'PATCH', headers, body })).status).toBe(200);
    await sleep(250);
    const prices = app.get(Prices, { strict: false });
    const { asked } = prices;
    await expect.poll(() => prices.asked, { timeout: 2_000 }).toBeGreaterThan(asked + 2);
  });

  it('asks every component that has a check, whenever it was registered', async () => {
    @MeshComponent({ name: 'declared' })
    @Injectable()
    class Declared {
      check = () => ({ status: 'up' as const });
    }
    @Injectable()
    class Registrar implements OnModuleInit {
      constructor(private readonly lifecycle: MeshLifecycle) {}

      onModuleInit(): void {
        this.lifecycle.register({ name: 'late', check: () => ({ status: 'degraded', reason: 'it warms up' }) });
        this.lifecycle.register({ name: 'without-a-check', start: () => undefined });
      }
    }
    @Module({ providers: [Declared, Registrar] })
    class ComponentsModule {}
    const app = await apps.create(mesh(), ComponentsModule);
    await app.init();
    const { health } = app.get(ServiceMesh);
    const states = Object.fromEntries(health.overview().components.map(({ name, state }) => [name, state]));
    expect(states).toEqual({ broker: 'up', cache: 'up', declared: 'up', late: 'degraded' });
    expect(health.snapshot('ready').entries['late']).toMatchObject({ status: 'degraded', reason: 'it warms up' });
  });

  it.each([
    ['in no group unless it is told to', {}, 200, 'ok'],
    ['with 200 in a group where it is optional', { ready: 'optional' }, 200, 'degraded'],
    ['with 503 in a group that requires it', { ready: 'required' }, 503, 'error'],
  ] as const)('shows an open circuit breaker %s', async (_, groups, status, word) => {
    const { app, get } = await apps.start(
      mesh({
        health: {
          details: 'always',
          ...(Object.keys(groups).length > 0 && { contributors: { 'breaker:pay': { groups } } }),
        },
        resilience: { policies: { pay: { retry: false, circuitBreaker: { minimumCalls: 1, failureRatio: 0.5 } } } },
      } as Partial<MeshOptions>),
    );
    const { breakers } = app.get(ServiceMesh);
    for (let i = 0; i < 5; i++) {
      await breakers
        .policy('pay')
        .execute(() => Promise.reject(new Error('no')))
        .catch(() => undefined);
    }
    const answer = await get('/health/ready');
    expect([answer.status, await answer.json()]).toMatchObject([status, { status: word }]);
    expect((await get('/health/live')).status).toBe(200);
    expect(app.get(ServiceMesh).health.overview().components).toContainEqual(
      expect.objectContaining({ name: 'breaker:pay', state: 'degraded' }),
    );
  });
});
