import type { ModulesContainer } from '@nestjs/core';
import type { MeshComponent } from '../core/component.port.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import { componentOptionsOf, type ComponentSteps, type MeshComponentOptions } from './mesh-component.decorator.js';

/**
 * Token under which any module may provide components: one, or an array of them. Every module has its own provider of
 * this token, and all of them count.
 */
export const MESH_COMPONENTS = Symbol('nestjs-mesh components');

/** Finds the components that the application declares: decorated providers, and what is provided as {@link MESH_COMPONENTS}. */
export class ComponentExplorer {
  readonly #modules: ModulesContainer;

  constructor(modules: ModulesContainer) {
    this.#modules = modules;
  }

  /** @throws {MeshConfigError} for a component that is no singleton or has no step. */
  explore(): readonly MeshComponent[] {
    const components: MeshComponent[] = [];
    const seen = new Set<unknown>();
    for (const wrapper of this.#wrappers()) {
      const instance = wrapper.instance as unknown;
      const { token, metatype } = wrapper;
      // The metatype of a factory is its function, and a value has none: what they gave tells its class.
      const declaredBy = wrapper.inject || !metatype ? (instance as object | null | undefined)?.constructor : metatype;
      const options = typeof declaredBy === 'function' ? componentOptionsOf(declaredBy) : undefined;
      if (!options && token !== MESH_COMPONENTS) continue;
      if (!wrapper.isDependencyTreeStatic() || wrapper.isTransient) throw noSingleton(options?.name ?? String(token));
      if (seen.has(instance)) continue;
      seen.add(instance);
      if (options) components.push(toComponent(options, instance as ComponentSteps));
      else components.push(...(Array.isArray(instance) ? instance : [instance]));
    }
    return components;
  }

  *#wrappers() {
    for (const module of this.#modules.values()) {
      yield* module.providers.values();
      yield* module.controllers.values();
    }
  }
}

function toComponent(options: MeshComponentOptions, steps: ComponentSteps): MeshComponent {
  if (!steps.start && !steps.drain && !steps.stop && !steps.check)
    throw new MeshConfigError(
      `Component "${options.name}" (${steps.constructor.name}) has none of the steps start, drain, stop and check. ` +
        'Add one, or remove @MeshComponent.',
    );
  return {
    ...options,
    ...(steps.start && { start: (context) => steps.start?.(context) }),
    ...(steps.drain && { drain: (context) => steps.drain?.(context) }),
    ...(steps.stop && { stop: (context) => steps.stop?.(context) }),
    ...(steps.check && { check: (context) => steps.check!(context) }),
    ...(steps.reconfigure && { reconfigure: (change) => steps.reconfigure!(change) }),
  };
}

function noSingleton(name: string): MeshConfigError {
  return new MeshConfigError(
    `Component "${name}" is request-scoped or transient, or depends on something that is. ` +
      'A component starts and stops once with the application: make it a singleton.',
  );
}
