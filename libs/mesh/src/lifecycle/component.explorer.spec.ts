import 'reflect-metadata';
import { Inject, Injectable, Module, Scope, type Type } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import type { ComponentContext, MeshComponent as Component } from '../core/component.port.js';
import { ComponentExplorer, MESH_COMPONENTS } from './component.explorer.js';
import { MeshComponent } from './mesh-component.decorator.js';

async function explore(module: Type): Promise<readonly Component[]> {
  const compiled = await Test.createTestingModule({ imports: [module] }).compile();
  return new ComponentExplorer(compiled.get(ModulesContainer)).explore();
}

const context: ComponentContext = { signal: new AbortController().signal };

@MeshComponent({ name: 'ledger', dependsOn: ['broker'], criticality: 'optional', timeouts: { startMs: 100 } })
@Injectable()
class Ledger {
  opened = 0;
  start(): void {
    this.opened++;
  }
  stop(): void {
    this.opened--;
  }
}

describe('ComponentExplorer', () => {
  it('makes a decorated provider a component with the steps that it has, on its own instance', async () => {
    const ledger = new Ledger();
    @Module({ providers: [{ provide: Ledger, useValue: ledger }] })
    class Feature {}
    const [component, ...others] = await explore(Feature);
    expect(others).toEqual([]);
    expect(component).toMatchObject({
      name: 'ledger',
      dependsOn: ['broker'],
      criticality: 'optional',
      timeouts: { startMs: 100 },
    });
    expect(component?.drain).toBeUndefined();
    await component?.start?.(context);
    expect(ledger.opened).toBe(1);
  });

  it.each([
    ['a class', { provide: Ledger, useClass: Ledger }],
    ['a value', { provide: 'LEDGER', useValue: new Ledger() }],
    ['a factory', { provide: 'LEDGER', useFactory: () => new Ledger() }],
  ])('finds a component that is provided as %s', async (_, provider) => {
    @Module({ providers: [provider] })
    class Feature {}
    expect((await explore(Feature)).map(({ name }) => name)).toEqual(['ledger']);
  });

  it('counts a component once, however many names it has', async () => {
    @Module({ providers: [Ledger, { provide: 'ALIAS', useExisting: Ledger }] })
    class Feature {}
    expect(await explore(Feature)).toHaveLength(1);
  });

  it('collects what modules provide as MESH_COMPONENTS, one or many, from each of them', async () => {
    @Module({ providers: [{ provide: MESH_COMPONENTS, useValue: { name: 'one' } }] })
    class First {}
    @Module({ providers: [{ provide: MESH_COMPONENTS, useFactory: () => [{ name: 'two' }, { name: 'three' }] }] })
    class Second {}
    @Module({ imports: [First, Second] })
    class App {}
    expect((await explore(App)).map(({ name }) => name)).toEqual(['one', 'two', 'three']);
  });

  it('refuses a component that is not a singleton', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest {}

    @MeshComponent({ name: 'bubbled' })
    @Injectable()
    class Bubbled {
      constructor(@Inject(PerRequest) readonly perRequest: PerRequest) {}
      start(): void {}
    }

    @MeshComponent({ name: 'transient' })
    @Injectable({ scope: Scope.TRANSIENT })
    class Transient {
      start(): void {}
    }
    @Module({ providers: [PerRequest, Bubbled] })
    class A {}
    @Module({ providers: [Transient] })
    class B {}
    await expect(explore(A)).rejects.toThrow('Component "bubbled" is request-scoped or transient');
    await expect(explore(B)).rejects.toThrow('Component "transient" is request-scoped or transient');
  });

  it('refuses a component without any step', async () => {
    @Module({ providers: [{ provide: 'EMPTY', useFactory: () => new Empty() }] })
    class Feature {}
    await expect(explore(Feature)).rejects.toThrow('Component "empty" (Empty) has none of the steps');
  });
});

class Empty {}
// As a user of JavaScript could: the decorator's type refuses it.
MeshComponent({ name: 'empty' })(Empty as never);
