import { type INestApplication, Injectable } from '@nestjs/common';
import { MeshModule, type MeshOptions, type PolicyOptions, Resilient } from 'nestjs-mesh';
import { MeshTestingModule, MeshTestKit } from 'nestjs-mesh/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

@Injectable()
class Charges {
  @Resilient('payments.charge', { timeoutMs: 800 })
  async charge(): Promise<string> {
    return 'charged';
  }
}

describe('faults on purpose, in an application', () => {
  let app: INestApplication | undefined;
  let kit: MeshTestKit;

  async function start(resilience: MeshOptions['resilience'] = {}): Promise<void> {
    const options: MeshOptions = { service: { name: 'orders' }, resilience, ops: { enabled: true } };
    const module = await MeshTestingModule.createTestingModule({
      imports: [MeshModule.forRoot(options, { opsGuard: () => true })],
      providers: [Charges],
    }).compile();
    app = module.createNestApplication({ logger: false });
    await app.listen(0, '127.0.0.1');
    kit = app.get(MeshTestKit, { strict: false });
  }

  const update = (policy: { fault: PolicyOptions['fault'] | null }) =>
    kit.mesh.config.update(
      { resilience: { policies: { 'payments.charge': policy } } },
      { source: 'game day', healthWindowMs: 0 },
    );
  const charge = (): Promise<string> => app!.get(Charges).charge();

  beforeEach(() => vi.stubEnv('NODE_ENV', 'test'));
  afterEach(async () => {
    await app?.close();
    app = undefined;
    vi.unstubAllEnvs();
  });

  it('begin with an update and end by the clock, for a method whose policy only a decorator names', async () => {
    await start();
    await expect(charge()).resolves.toBe('charged');
    await update({ fault: { errorRatio: 1, ttlMs: 30_000 } });
    await expect(charge()).rejects.toMatchObject({ code: 'MESH_FAULT_INJECTED', status: 503 });
    expect(kit.policy('payments.charge').describe().order).toContain('-> fault injection: errors 100 % until');
    kit.policy('payments.charge').expectValue('fault.errorRatio', 1, 'policies["payments.charge"]');
    await kit.metrics.expectValue('mesh_faults_injected_total', { policy: 'payments.charge', kind: 'error' }, 1);

    await kit.clock.advance(30_000);
    await expect(charge()).resolves.toBe('charged');
    expect(kit.events('policy.fault').map(({ state }) => state)).toEqual(['on', 'off']);
  });

  it('end with a patch that takes the other one back', async () => {
    await start();
    await update({ fault: { errorRatio: 1, ttlMs: 30_000 } });
    await update({ fault: null });
    await expect(charge()).resolves.toBe('charged');
    expect(kit.clock.timers.filter(({ setBy }) => setBy.includes('faults'))).toEqual([]);
  });

  it('are explained as they are written, and shown to operators with their end', async () => {
    await start();
    await update({ fault: { delayMs: 50, ttlMs: 30_000 } });
    const path = 'resilience.policies["payments.charge"].fault';
    expect(kit.mesh.config.explain(`${path}.ttlMs`)).toMatchObject({ value: 30_000, source: 'runtime game day' });
    expect(kit.mesh.config.explain(`${path}.delayMs`)).toMatchObject({ value: 50, update: 'live' });

    kit.breaker('payments.charge').close();
    const response = await fetch(`${await app!.getUrl()}/mesh/breakers`);
    expect(JSON.stringify(await response.json())).toContain('"fault":{"what":"delay 50 ms","until":');
  });

  it('do not start in production, nor come by an update, and a running service cannot be made to allow them', async () => {
    vi.stubEnv('NODE_ENV', 'production');
    const faulty = { policies: { 'payments.charge': { fault: { errorRatio: 0.1, ttlMs: 1_000 } } } };
    await expect(start(faulty)).rejects.toThrow(/policies\["payments.charge"\]\.fault.*refused in production/s);
    await start();
    await expect(update({ fault: { errorRatio: 0.1, ttlMs: 1_000 } })).rejects.toMatchObject({
      code: 'MESH_CONFIG_INVALID',
    });
    await expect(
      kit.mesh.config.update({ resilience: { allowFaultsInProduction: true } }, { source: 'ops' }),
    ).rejects.toMatchObject({ code: 'MESH_CONFIG_RESTART_REQUIRED' });
    await expect(charge()).resolves.toBe('charged');
  });

  it('are accepted in production by a deployment that allows them', async () => {
    vi.stubEnv('NODE_ENV', 'production');
    await start({ allowFaultsInProduction: true });
    await update({ fault: { errorRatio: 1, ttlMs: 1_000 } });
    await expect(charge()).rejects.toMatchObject({ code: 'MESH_FAULT_INJECTED' });
  });
});
