import { Injectable, Module, type OnModuleInit, type Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  HealthContributor,
  type MeshComponent,
  MeshEvents,
  MeshLifecycle,
  MeshModule,
  type MeshOptions,
} from 'nestjs-mesh';
import { describe, expect, it } from 'vitest';

/** What became of a boot: why it failed, and what it did to the mesh's parts and to components. */
interface FailedBoot {
  readonly reason: string;
  readonly phase: string;
  readonly steps: readonly string[];
  /** Components that have started and not stopped. */
  readonly leftRunning: readonly string[];
}

async function failToBoot(provider: Type, options: Partial<MeshOptions> = {}): Promise<FailedBoot> {
  @Module({
    imports: [MeshModule.forRoot({ service: { name: 'orders' }, logging: { level: 'silent' }, ...options })],
    providers: [provider],
  })
  class App {}
  const app = (await Test.createTestingModule({ imports: [App] }).compile()).createNestApplication({ logger: false });
  const steps: string[] = [];
  app.get(MeshEvents).on('lifecycle.step', ({ component, step }) => steps.push(`${step} ${component}`));
  const reason = await app.init().then(
    () => 'it booted',
    (error: Error) => error.message,
  );
  const lifecycle = app.get(MeshLifecycle);
  return {
    reason,
    phase: lifecycle.phase,
    steps,
    leftRunning: lifecycle
      .report()
      .filter(({ state }) => state !== 'stopped' && state !== 'registered')
      .map(({ name, state }) => `${name} ${state}`),
  };
}

@Injectable()
class Ledger implements OnModuleInit {
  constructor(private readonly lifecycle: MeshLifecycle) {}

  onModuleInit(): void {
    const ledger: MeshComponent = {
      name: 'ledger',
      start: () => undefined,
      stop: () => undefined,
      check: () => ({ status: 'up' }),
    };
    this.lifecycle.register(ledger);
  }
}

describe('A boot that fails', () => {
  it("for a check named as one of the mesh's parts starts nothing, and says who wants the name", async () => {
    @Injectable()
    class Prices {
      @HealthContributor('cache')
      ping(): void {}
    }
    const boot = await failToBoot(Prices);
    expect(boot.reason).toContain('"cache" is registered twice, by Prices.ping and by the component "cache"');
    expect(boot).toMatchObject({ phase: 'failed', steps: [], leftRunning: [] });
  });

  it('for a policy, after every onModuleInit, stops what has started', async () => {
    const boot = await failToBoot(Ledger, { resilience: { policies: { pay: { extends: 'nobody' } } } });
    expect(boot.reason).toContain('extends "nobody"');
    expect(boot.steps).toEqual(expect.arrayContaining(['start broker', 'stop broker', 'start health', 'stop health']));
    expect(boot.steps).not.toContain('start ledger');
    expect(boot).toMatchObject({ phase: 'failed', leftRunning: [] });
  });

  it('for a check, when every component has started, stops them all', async () => {
    @Injectable()
    class LedgerWithHealth extends Ledger {
      @HealthContributor('ledger')
      ping(): void {}
    }
    const boot = await failToBoot(LedgerWithHealth);
    expect(boot.reason).toContain('by LedgerWithHealth.ping and by the component "ledger"');
    expect(boot.steps.slice(-7)).toContain('stop ledger');
    expect(boot).toMatchObject({ phase: 'failed', leftRunning: [] });
  });
});
