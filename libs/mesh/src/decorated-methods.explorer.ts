import { Injectable } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { MeshRuntime } from './core/mesh-runtime.js';
import { attachRuntime, decoratedMethodsOf, type DecoratedMethod } from './core/method-advice.js';

/**
 * Binds every decorated method of the application at its start, so that an unknown policy or a missing fallback is an
 * error at boot, and reaches the objects that Nest did not construct itself: those of factories and values.
 */
@Injectable()
export class DecoratedMethodsExplorer {
  constructor(
    private readonly modules: ModulesContainer,
    private readonly runtime: MeshRuntime,
  ) {}

  explore(): void {
    const methods: DecoratedMethod[] = [];
    for (const { providers, controllers } of this.modules.values()) {
      for (const { instance, metatype, inject } of [...providers.values(), ...controllers.values()]) {
        const own = isObject(instance) ? instance : undefined;
        // A request-scoped class has no instance yet, only a prototype; a factory's function says nothing.
        const prototype: unknown = own
          ? Object.getPrototypeOf(own)
          : !inject && typeof metatype === 'function' && metatype.prototype;
        if (!isObject(prototype)) continue;
        const found = decoratedMethodsOf(prototype);
        if (found.length === 0) continue;
        methods.push(...found);
        if (own) attachRuntime(own, this.runtime);
      }
    }
    this.runtime.bindAll(methods);
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
