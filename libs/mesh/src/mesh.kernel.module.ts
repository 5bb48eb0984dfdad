import { hostname } from 'node:os';
import { ConfigurableModuleBuilder, Module } from '@nestjs/common';
import { ConfigInput } from './config/config.input.js';
import { loadConfig } from './config/config.loader.js';
import { ConfigStore } from './config/config.store.js';
import { CallContexts } from './core/call-context.js';
import { Clock, SystemClock } from './core/clock.js';
import { Ids, SystemIds } from './core/ids.js';
import { MeshEvents } from './core/mesh.events.js';
import { MeshRuntime } from './core/mesh-runtime.js';
import { MESH_RUNTIME } from './core/method-advice.js';
import { provide } from './mesh.providers.js';
import { ServiceInfo } from './core/service-info.js';
import { PinoLog } from './logging/pino.adapter.js';
import { type MeshConfig, type MeshOptions, meshSchema, misplacedOptions } from './mesh.options.js';

/** Injection token of what the application passed to `forRoot` or its factory returned, before validation. */
export const MESH_OPTIONS = Symbol('nestjs-mesh options');

const { ConfigurableModuleClass, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } = new ConfigurableModuleBuilder<MeshOptions>({
  optionsInjectionToken: MESH_OPTIONS,
})
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createMeshOptions')
  .build();

export type KernelOptions = typeof OPTIONS_TYPE;
export type KernelAsyncOptions = typeof ASYNC_OPTIONS_TYPE;

const kernel = [
  {
    provide: ConfigStore,
    inject: [MESH_OPTIONS, ConfigInput, MeshEvents, Clock],
    useFactory: (
      given: unknown,
      input: ConfigInput,
      events: MeshEvents,
      clock: Clock,
    ): Promise<ConfigStore<MeshConfig>> => {
      const value = input.options(given);
      return loadConfig({
        schema: meshSchema,
        value,
        env: input.environment,
        misplaced: misplacedOptions,
        events,
        clock,
      });
    },
  },
  ConfigInput,
  { provide: Clock, useClass: SystemClock },
  { provide: Ids, useClass: SystemIds },
  { provide: MeshEvents, useFactory: () => new MeshEvents() },
  CallContexts,
  MeshRuntime,
  { provide: MESH_RUNTIME, useExisting: MeshRuntime },
  provide(ServiceInfo, [ConfigStore<MeshConfig>], ({ snapshot: { service } }) => {
    return new ServiceInfo(service.name, service.instance ?? `${hostname()}-${process.pid}`, service.version);
  }),
  provide(PinoLog, [ConfigStore<MeshConfig>, ServiceInfo, CallContexts, Clock], (config, service, contexts, clock) => {
    return new PinoLog({ options: config.section('logging'), service, contexts, clock });
  }),
];

/**
 * Configuration, time, identity and the event bus: what every room stands on, and what the third-party modules that
 * MeshModule imports need to see as well.
 */
@Module({ providers: kernel, exports: kernel.map((provider) => ('provide' in provider ? provider.provide : provider)) })
export class MeshKernelModule extends ConfigurableModuleClass {}
