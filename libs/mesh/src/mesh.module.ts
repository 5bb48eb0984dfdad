import {
  type DynamicModule,
  Inject,
  Module,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
  Optional,
} from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { cacheManagerProviders, cacheManagerTokens } from './cache/cache-manager.adapter.js';
import { MessageBroker } from './core/broker.port.js';
import { CacheClient } from './core/cache.port.js';
import { MeshConfigError } from './core/mesh.errors.js';
import { MetricsClient } from './core/metrics.port.js';
import { PolicyRunner } from './core/policy.port.js';
import { HealthAggregator } from './health/health.aggregator.js';
import { terminusModule } from './health/terminus.adapter.js';
import { MeshEdgeModule } from './lifecycle/mesh-edge.module.js';
import { MeshLifecycle } from './lifecycle/mesh-lifecycle.js';
import { meshLoggerModule } from './logging/pino.adapter.js';
import { MESH_EXTRAS, MeshAssembly } from './mesh.assembly.js';
import { type KernelAsyncOptions, type KernelOptions, MeshKernelModule } from './mesh.kernel.module.js';
import { meshProviders } from './mesh.parts.js';
import { prometheusModule } from './metrics/nestjs-prometheus.adapter.js';
import { additionalProviders, type MeshExtras } from './replacements.js';
import { CircuitBreakerManager } from './resilience/circuit-breaker.manager.js';
import { ServiceMesh } from './service-mesh.js';

/** Above the distance that Nest gives to every global module, whose hooks would otherwise run in the order of imports. */
const FIRST = Infinity;

/**
 * Gives an application its mesh. Import it once, in the root module.
 *
 * It is the first module to start and the last to stop; see docs/lifecycle.md for the order.
 */
@Module({})
export class MeshModule implements OnModuleInit, OnApplicationBootstrap, OnApplicationShutdown {
  /** @throws {MeshConfigError} while the application starts, with everything that is wrong with the options at once. */
  static forRoot(options: KernelOptions, extras: MeshExtras = {}): DynamicModule {
    return compose(MeshKernelModule.forRoot(options), extras);
  }

  /** As `forRoot`, with options from `useFactory`, `useClass` or `useExisting`. */
  static forRootAsync(options: KernelAsyncOptions, extras: MeshExtras = {}): DynamicModule {
    return compose(MeshKernelModule.forRootAsync(options), extras);
  }

  readonly #assembly: MeshAssembly;
  readonly #lifecycle: MeshLifecycle;

  constructor(
    modules: ModulesContainer,
    @Optional() @Inject(MeshAssembly) assembly?: MeshAssembly,
    @Optional() @Inject(MeshLifecycle) lifecycle?: MeshLifecycle,
  ) {
    if (!assembly || !lifecycle)
      throw new MeshConfigError(
        'MeshModule was imported without options: use MeshModule.forRoot({ service: { name } }).',
      );
    const own = [...modules.values()].filter(({ metatype }) => metatype === MeshModule);
    if (own.length > 1)
      throw new MeshConfigError(
        'MeshModule is registered twice in this application: keep one forRoot or forRootAsync, in the root module; ' +
          'it is global, so other modules need not import it.',
      );
    for (const module of own) module.distance = FIRST;
    this.#assembly = assembly;
    this.#lifecycle = lifecycle;
  }

  async onModuleInit(): Promise<void> {
    await this.#lifecycle.onMeshInit({ before: () => this.#assembly.assemble() });
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.#lifecycle.onMeshBootstrap({
      before: () => this.#assembly.verifyPolicies(),
      after: () => this.#assembly.startHealth(),
    });
  }

  async onApplicationShutdown(): Promise<void> {
    await this.#lifecycle.onMeshShutdown();
  }
}

const exported = [
  ServiceMesh,
  CircuitBreakerManager,
  PolicyRunner,
  HealthAggregator,
  MetricsClient,
  MessageBroker,
  CacheClient,
  MeshLifecycle,
];

function compose(kernel: DynamicModule, extras: MeshExtras): DynamicModule {
  const { isGlobal = true, imports = [], logging = 'own', cacheManager = true } = extras;
  return {
    module: MeshModule,
    global: isGlobal,
    imports: [
      kernel,
      MeshEdgeModule,
      meshLoggerModule([kernel], logging),
      prometheusModule(),
      terminusModule(),
      ...imports,
    ],
    providers: [
      { provide: MESH_EXTRAS, useValue: extras },
      ...meshProviders(extras),
      ...additionalProviders(extras),
      ...(cacheManager ? cacheManagerProviders : []),
    ],
    exports: [kernel, ...exported, ...(cacheManager ? cacheManagerTokens : [])],
  };
}
