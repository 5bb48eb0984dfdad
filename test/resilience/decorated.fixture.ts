import type { DynamicModule, ModuleMetadata, OnModuleInit } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { Test, type TestingModule } from '@nestjs/testing';
import { MeshRuntime } from '../../libs/mesh/src/core/mesh-runtime.js';
import { MESH_RUNTIME } from '../../libs/mesh/src/core/method-advice.js';
import { DecoratedMethodsExplorer } from '../../libs/mesh/src/decorated-methods.explorer.js';
import { CircuitBreakerManager } from '../../libs/mesh/src/resilience/circuit-breaker.manager.js';
import type { ResilienceFixture } from './resilience.fixture.js';

/** Of a circuit breaker: open after two failures. */
export const failures = { failureRatio: 0.5, minimumCalls: 2 };

/** What MeshModule does for decorated methods, and nothing else. */
export function runtimeModule(fixture: ResilienceFixture): DynamicModule {
  const runtime = new MeshRuntime();
  runtime.provide(CircuitBreakerManager, fixture.manager);
  class RuntimeModule implements OnModuleInit {
    constructor(private readonly modules: ModulesContainer) {}

    onModuleInit(): void {
      new DecoratedMethodsExplorer(this.modules, runtime).explore();
    }
  }
  Reflect.defineMetadata('design:paramtypes', [ModulesContainer], RuntimeModule);
  const provider = { provide: MESH_RUNTIME, useValue: runtime };
  return { module: RuntimeModule, global: true, providers: [provider], exports: [provider] };
}

/** A started application of the given classes. */
export async function applicationOf(fixture: ResilienceFixture, metadata: ModuleMetadata): Promise<TestingModule> {
  const module = await Test.createTestingModule({
    ...metadata,
    imports: [runtimeModule(fixture), ...(metadata.imports ?? [])],
  }).compile();
  return module.init();
}

/** A provider of a started application. */
export async function started<T>(fixture: ResilienceFixture, type: new (...args: never[]) => T): Promise<T> {
  return (await applicationOf(fixture, { providers: [type] })).get(type);
}
