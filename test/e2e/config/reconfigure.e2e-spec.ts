import { Test } from '@nestjs/testing';
import {
  MeshComponent,
  MeshModule,
  ServiceMesh,
  type ComponentChange,
  type PreparedReconfiguration,
} from 'nestjs-mesh';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let steps: string[];
let refuse: string | undefined;

/** A user's own part that follows the timeouts of one policy. */
@MeshComponent({ name: 'ledger', configPaths: ['resilience.policies'] })
class Ledger {
  reconfigure({ paths }: ComponentChange): PreparedReconfiguration {
    steps.push(`prepare ${paths.join(', ')}`);
    if (refuse !== undefined) throw new Error(refuse);
    return {
      commit: () => void steps.push('commit'),
      revert: () => void steps.push('revert'),
      settle: () => void steps.push('settle'),
      discard: () => void steps.push('discard'),
    };
  }

  start(): void {}
}

describe('a component that can be reconfigured', () => {
  let close: () => Promise<void>;
  let mesh: ServiceMesh;

  beforeEach(async () => {
    steps = [];
    refuse = undefined;
    const resilience = { policies: { charge: { timeoutMs: 100 } } };
    const imports = [MeshModule.forRoot({ service: { name: 'orders' }, logging: { level: 'silent' }, resilience })];
    const module = await Test.createTestingModule({ imports, providers: [Ledger] }).compile();
    const app = await module.createNestApplication({ logger: false }).init();
    mesh = app.get(ServiceMesh);
    close = () => app.close();
  });
  afterEach(() => close());

  const change = (timeoutMs: number) =>
    mesh.config.update({ resilience: { policies: { charge: { timeoutMs } } } }, { source: 'test', healthWindowMs: 0 });

  it('prepares, takes over and lets go with the update', async () => {
    await change(200);
    expect(steps).toEqual(['prepare resilience.policies.charge.timeoutMs', 'commit', 'settle']);
  });

  it('hears nothing of what does not concern it', async () => {
    await mesh.config.update({ health: { everyMs: 5_000 } }, { source: 'test', healthWindowMs: 0 });
    expect(steps).toEqual([]);
  });

  it('refuses the whole update by throwing', async () => {
    refuse = 'the ledger is being audited';
    await expect(change(200)).rejects.toThrow(/ledger.*being audited/s);
    expect(mesh.config.snapshot.resilience.policies['charge']).toMatchObject({ timeoutMs: 100 });
  });
});
