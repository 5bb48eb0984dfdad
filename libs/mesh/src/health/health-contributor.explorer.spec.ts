import 'reflect-metadata';
import { Controller, Get, Injectable, Module, Scope, type Provider, type Type } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import type { HealthContributor as Contributor } from '../core/health.port.js';
import type { HealthAggregator } from './health.aggregator.js';
import { HealthContributor } from './health-contributor.decorator.js';
import { HealthContributorExplorer } from './health-contributor.explorer.js';

interface Part {
  readonly providers?: Provider[];
  readonly controllers?: Type[];
}

/** What the explorer registers for an application of these parts. */
async function explore({ providers = [], controllers = [] }: Part): Promise<Contributor[]> {
  const found: Contributor[] = [];
  const health = { register: (contributor: Contributor) => found.push(contributor) } as unknown as HealthAggregator;
  const module = await Test.createTestingModule({ providers, controllers }).compile();
  new HealthContributorExplorer(module.get(ModulesContainer, { strict: false }), health).explore();
  return found;
}

const context = { signal: new AbortController().signal };

@Injectable()
class Ledger {
  readonly asked: unknown[] = [];

  @HealthContributor('ledger', {
    groups: { ready: 'required' },
    everyMs: 5_000,
    timeoutMs: 200,
    weight: 2,
  })
  ping(check: unknown): void {
    this.asked.push(check);
  }

  @HealthContributor('ledger-lag', { groups: ['ready', 'deep'], criticality: 'required' })
  lag(): void {}

  @HealthContributor('ledger-log')
  log(): void {}

  other(): void {}
}

class ArchivedLedger extends Ledger {
  override lag(): void {}
}

describe('@HealthContributor', () => {
  it('registers each decorated method with its settings', async () => {
    const found = await explore({ providers: [Ledger] });
    expect(found.map((contributor) => ({ ...contributor, check: typeof contributor.check }))).toEqual([
      { name: 'ledger', groups: { ready: 'required' }, everyMs: 5_000, timeoutMs: 200, weight: 2, check: 'function' },
      { name: 'ledger-lag', groups: { ready: 'required', deep: 'required' }, check: 'function' },
      { name: 'ledger-log', groups: { ready: 'optional' }, check: 'function' },
    ]);
  });

  it('calls the method on its instance, with the signal', async () => {
    const ledger = new Ledger();
    const [contributor] = await explore({ providers: [{ provide: 'LEDGER', useValue: ledger }] });
    await contributor!.check!(context);
    expect(ledger.asked).toEqual([context]);
  });

  it('finds methods of factories, of controllers and of parents, unless they are overridden', async () => {
    @Controller()
    class Status {
      @Get('status')
      @HealthContributor('status')
      status(): void {}
    }
    const providers = [{ provide: 'LEDGER', useFactory: () => new ArchivedLedger() }];
    const found = await explore({ providers, controllers: [Status] });
    expect(found.map(({ name }) => name).sort()).toEqual(['ledger', 'ledger-log', 'status']);
  });

  it('registers an instance once, however many tokens it has', async () => {
    const found = await explore({ providers: [Ledger, { provide: 'ALIAS', useExisting: Ledger }] });
    expect(found).toHaveLength(3);
  });

  it.each([
    ['request-scoped', Scope.REQUEST],
    ['transient', Scope.TRANSIENT],
  ])('refuses a %s provider with the way out', async (word, scope) => {
    @Injectable({ scope })
    class Cart {
      @HealthContributor('cart')
      ping(): void {}
    }
    await expect(explore({ providers: [Cart] })).rejects.toThrow(
      new RegExp(`@HealthContributor\\("cart"\\) stands on Cart.ping, but Cart is ${word}`),
    );
  });

  it('refuses a provider that is request-scoped through what it injects', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Tenant {}
    @Injectable()
    class Cart {
      constructor(readonly tenant: Tenant) {}

      @HealthContributor('cart')
      ping(): void {}
    }
    await expect(explore({ providers: [Tenant, Cart] })).rejects.toThrow('Cart is request-scoped');
  });

  it('leaves providers alone that hold nothing to look at', async () => {
    @Module({})
    class Empty {}
    const odd = [
      { provide: 'NULL', useValue: null },
      { provide: 'BARE', useValue: Object.create(null) as object },
      { provide: 'TEXT', useValue: 'text' },
      {
        provide: 'TRAP',
        useValue: {
          get ping() {
            throw new Error('touched');
          },
        },
      },
      Empty,
    ];
    expect(await explore({ providers: odd })).toEqual([]);
  });
});
