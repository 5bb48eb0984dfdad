import { MetadataScanner, type ModuleRef, type NestContainer } from '@nestjs/core';
import { MeshConfigError } from '../../core/mesh.errors.js';

/**
 * The application's container: the one Nest internal that the broker stands on, read here alone. A microservice over it
 * is what gives message handlers the application's own guards, pipes, interceptors and filters.
 */
export function containerOf(moduleRef: ModuleRef): NestContainer {
  const { container } = moduleRef as unknown as { readonly container?: NestContainer };
  if (typeof container?.getModules !== 'function')
    throw new MeshConfigError(
      'ModuleRef has no container in this version of @nestjs/core; the broker needs @nestjs/core 12. Update nestjs-mesh, or pin @nestjs/core.',
    );
  return container;
}

/** The methods of a class by name, inherited ones included. */
export function methodsOf(prototype: object): [name: string, method: object][] {
  return new MetadataScanner()
    .getAllMethodNames(prototype)
    .map((name) => [name, (prototype as Record<string, object>)[name]!]);
}
