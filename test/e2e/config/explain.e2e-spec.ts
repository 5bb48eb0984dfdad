import { Injectable } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { CircuitBreaker, MeshModule, Resilient, ServiceMesh } from '../../../libs/mesh/src/index.js';

@Injectable()
class Payments {
  @Resilient('payments.charge', { timeoutMs: 900 })
  async charge(): Promise<void> {}

  @CircuitBreaker('payments.read', { minimumCalls: 3 })
  async read(): Promise<void> {}
}

const options = {
  service: { name: 'orders' },
  resilience: {
    defaults: { timeoutMs: 5_000, totalTimeoutMs: 8_000 },
    groups: { slow: { circuitBreaker: { openMs: 9_000 } } },
    policies: {
      'payments.*': { timeoutMs: 700, retry: false as const },
      'ledger.read': { extends: 'slow', bulkhead: false as const },
    },
  },
};

describe('mesh.config.explain of an option of a policy', () => {
  let module: TestingModule | undefined;
  afterEach(async () => {
    await module?.close();
    module = undefined;
  });

  async function start(): Promise<ServiceMesh> {
    module = await Test.createTestingModule({
      imports: [MeshModule.forRoot(options, { logging: false })],
      providers: [Payments],
    }).compile();
    await module.init();
    return module.get(ServiceMesh);
  }

  it('puts a decorator between patterns and what configuration says of the exact name', async () => {
    const { config } = await start();
    const path = 'resilience.policies["payments.charge"].timeoutMs';
    const beneath = [
      { source: 'pattern "payments.*" (module options)', value: 700 },
      { source: 'defaults (module options)', value: 5_000 },
      { source: 'default', value: 10_000 },
    ];
    const declared = { source: 'declared by Payments.charge', value: 900 };
    expect(config.explain(path)).toEqual({ path, update: 'live', ...declared, overrode: beneath });

    await config.update({ resilience: { policies: { 'payments.charge': { timeoutMs: 300 } } } }, { source: 'ann' });
    expect(config.explain(path)).toMatchObject({ value: 300, source: 'runtime ann', overrode: [declared, ...beneath] });
  });

  it('names the group that a policy extends', async () => {
    const { config } = await start();
    expect(config.explain('resilience.policies["ledger.read"].circuitBreaker.openMs')).toMatchObject({
      value: 9_000,
      source: 'group "slow" (module options)',
      overrode: [{ source: 'default', value: 5_000 }],
    });
  });

  it('says of an option of a protection that is off who switched it off', async () => {
    const { config } = await start();
    expect(config.explain('resilience.policies["payments.charge"].retry.maxRetries')).toMatchObject({
      path: 'resilience.policies["payments.charge"].retry',
      value: false,
      source: 'pattern "payments.*" (module options)',
    });
    expect(config.explain('resilience.policies["payments.read"].timeoutMs')).toMatchObject({
      value: false,
      source: 'declared by Payments.read names only its own',
    });
  });

  it('knows the nearest name of an option that there is not', async () => {
    const { config } = await start();
    expect(() => config.explain('resilience.policies["ledger.read"].timoutMs')).toThrow(
      'did you mean "resilience.policies["ledger.read"].timeoutMs"?',
    );
  });
});
