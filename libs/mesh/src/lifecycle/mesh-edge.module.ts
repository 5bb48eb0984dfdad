import { Module, type OnApplicationBootstrap, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { ModuleRef, ModulesContainer } from '@nestjs/core';
import { MeshConfigError } from '../core/mesh.errors.js';
import { MeshLifecycle } from './mesh-lifecycle.js';

/** Under every distance that Nest computes: the root module has 0, what it imports more. */
const LAST = -1;

/**
 * The other end of the hook order. Nest runs init and bootstrap hooks by falling distance from the root and destroy hooks
 * in reverse, so that the global MeshModule is the first to start; this module sets its own distance below the root's,
 * so that its bootstrap hook is the last of the application and its destroy hook the first.
 */
@Module({})
export class MeshEdgeModule implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy {
  readonly #modules: ModulesContainer;
  readonly #moduleRef: ModuleRef;

  constructor(modules: ModulesContainer, moduleRef: ModuleRef) {
    this.#modules = modules;
    this.#moduleRef = moduleRef;
    for (const module of modules.values()) if (module.metatype === MeshEdgeModule) module.distance = LAST;
  }

  onModuleInit(): void {
    this.#assertLast();
    this.#lifecycle.onEdgeInit();
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.#lifecycle.onEdgeBootstrap();
  }

  async onModuleDestroy(): Promise<void> {
    await this.#lifecycle.onEdgeDestroy();
  }

  get #lifecycle(): MeshLifecycle {
    return this.#moduleRef.get(MeshLifecycle, { strict: false });
  }

  #assertLast(): void {
    const inTheWay = [...this.#modules.values()].filter(
      (module) => module.metatype !== MeshEdgeModule && module.distance <= LAST,
    );
    if (inTheWay.length === 0) return;
    const names = inTheWay.map(({ metatype }) => metatype.name).join(', ');
    throw new MeshConfigError(
      `The mesh must be the last to bootstrap and the first to be destroyed, but ${names} claims the same place in the ` +
        "order of Nest's hooks. Without it, readiness would come too early and the drain too late.",
    );
  }
}
