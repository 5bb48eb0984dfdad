import { MetadataScanner, type DiscoveryService, type ModulesContainer } from '@nestjs/core';
import type { HealthContributor } from '../core/health.port.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { HealthAggregator } from './health.aggregator.js';
import {
  HEALTH_CONTRIBUTOR,
  membershipOf,
  type HealthContributorMetadata,
  type HealthContributorOptions,
} from './health-contributor.decorator.js';

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];

/** Finds the methods under `@HealthContributor` of all providers and controllers, and registers them. */
export class HealthContributorExplorer {
  readonly #scanner = new MetadataScanner();

  constructor(
    private readonly modules: ModulesContainer,
    private readonly health: HealthAggregator,
  ) {}

  /**
   * Call once, when all providers exist.
   * @throws {MeshConfigError} for a method of a request-scoped or transient provider: there is no one instance to ask.
   */
  explore(): void {
    const seen = new Set<object>();
    for (const { providers, controllers } of this.modules.values()) {
      for (const wrapper of [...providers.values(), ...controllers.values()]) {
        const prototype = prototypeOf(wrapper);
        if (!prototype) continue;
        for (const method of this.#scanner.getAllMethodNames(prototype)) {
          const metadata = metadataOf(prototype, method);
          if (!metadata) continue;
          const instance = this.#onlyInstanceOf(wrapper, method, metadata.name);
          if (seen.has(instance)) break;
          this.health.register(toContributor(instance, method, metadata), `${wrapper.name}.${method}`);
        }
        if (typeof wrapper.instance === 'object' && wrapper.instance !== null) seen.add(wrapper.instance as object);
      }
    }
  }

  #onlyInstanceOf(wrapper: Wrapper, method: string, contributor: string): object {
    if (wrapper.isDependencyTreeStatic() && !wrapper.isTransient) return wrapper.instance as object;
    throw new MeshConfigError(
      `@HealthContributor("${contributor}") stands on ${wrapper.name}.${method}, but ${wrapper.name} is ` +
        `${wrapper.isTransient ? 'transient' : 'request-scoped'}: there is no one instance to ask in the background. ` +
        'Move the method to a provider of the default scope.',
    );
  }
}

function prototypeOf(wrapper: Wrapper): object | undefined {
  const { instance, metatype, inject } = wrapper;
  if (typeof instance === 'object' && instance !== null) return Object.getPrototypeOf(instance) as object;
  // Without an instance only a class says what it will have; a factory's function says nothing.
  return !inject && typeof metatype === 'function' ? (metatype.prototype as object | undefined) : undefined;
}

function metadataOf(prototype: object, method: string): HealthContributorMetadata | undefined {
  const implementation = (prototype as Record<string, unknown>)[method];
  return typeof implementation === 'function'
    ? (Reflect.getMetadata(HEALTH_CONTRIBUTOR, implementation) as HealthContributorMetadata | undefined)
    : undefined;
}

function toContributor(
  instance: object,
  method: string,
  { name, options }: HealthContributorMetadata,
): HealthContributor {
  const target = instance as Record<string, NonNullable<HealthContributor['check']>>;
  return {
    ...scheduleOf(options),
    name,
    groups: membershipOf(options),
    check: (context) => target[method]!(context),
  };
}

function scheduleOf({
  everyMs,
  timeoutMs,
  weight,
}: HealthContributorOptions): Pick<HealthContributor, 'everyMs' | 'timeoutMs' | 'weight'> {
  return {
    ...(everyMs !== undefined && { everyMs }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(weight !== undefined && { weight }),
  };
}
