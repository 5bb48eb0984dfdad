import type { ExceptionFilter } from '@nestjs/common';
import type { ApplicationConfig, ModuleRef, NestContainer } from '@nestjs/core';
import type { MessageHandler, MessageServer } from '../../core/broker.port.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import { containerOf, methodsOf } from './nest-container.js';
import { MESH_TRANSPORT, PATTERN_HANDLER, PATTERN_TRANSPORT, subscriptionsOf } from './pattern-metadata.js';
import { mixedDecorators } from './subscribe.decorator.js';

export interface ConnectOptions {
  /** Whether the application's global guards, pipes, interceptors and filters apply to messages. @default true */
  readonly inheritGlobals?: boolean;
  /** The mesh's own exception filters: handlers around which nothing but these stands are called directly. */
  readonly ownFilters?: readonly ExceptionFilter[];
}

/**
 * Gives the message handlers of the application's controllers to the broker: `@MessagePattern`, `@EventPattern` and
 * `@Subscribe`. Call it when all instances exist and global enhancers are set: in `onModuleInit`.
 */
export async function connectNestHandlers(
  moduleRef: ModuleRef,
  applicationConfig: ApplicationConfig,
  broker: MessageServer,
  options: ConnectOptions = {},
): Promise<void> {
  const container = containerOf(moduleRef);
  if (!hasHandlers(container)) return;
  const { bindControllers } = await import('./bind-controllers.js');
  await bindControllers(container, applicationConfig, broker, options);
}

/**
 * Subscribes the `@Subscribe` methods of the application's providers.
 * @throws {MeshConfigError} for one that is not a singleton: there is no request that it could live in.
 */
export async function connectSubscribers(moduleRef: ModuleRef, broker: MessageServer): Promise<void> {
  const seen = new Set<object>();
  for (const module of containerOf(moduleRef).getModules().values()) {
    for (const wrapper of module.providers.values()) {
      const instance: unknown = wrapper.instance;
      const prototype =
        wrapper.metatype && !wrapper.inject ? (wrapper.metatype.prototype as object) : protoOf(instance);
      if (!prototype) continue;
      const methods = methodsOf(prototype).filter(([, method]) => subscriptionsOf(method).length > 0);
      if (methods.length === 0) continue;
      const className = (prototype.constructor as { name: string }).name;
      if (!wrapper.isDependencyTreeStatic() || wrapper.isTransient)
        throw new MeshConfigError(
          `${className}.${methods[0]![0]} has @Subscribe, but ${className} is request-scoped or transient (itself or through what it injects). Make it a singleton, or move the method to a controller.`,
        );
      if (typeof instance !== 'object' || instance === null || seen.has(instance)) continue;
      seen.add(instance);
      for (const [name, method] of methods) await subscribeMethod(broker, instance, { className, name, method });
    }
  }
}

async function subscribeMethod(
  broker: MessageServer,
  instance: object,
  { className, name, method }: { readonly className: string; readonly name: string; readonly method: object },
): Promise<void> {
  const target = instance as Record<string, MessageHandler>;
  for (const { topic, options } of subscriptionsOf(method)) {
    const handler: MessageHandler = (payload, message) => target[name]!(payload, message);
    await broker.subscribe(topic, handler, { name: `${className}.${name}`, ...options });
  }
}

function hasHandlers(container: NestContainer): boolean {
  let found = false;
  for (const { controllers } of container.getModules().values()) {
    for (const { metatype } of controllers.values()) {
      if (!metatype?.prototype) continue;
      for (const [name, method] of methodsOf(metatype.prototype as object)) {
        if (!Reflect.hasMetadata(PATTERN_HANDLER, method)) continue;
        const transport: unknown = Reflect.getMetadata(PATTERN_TRANSPORT, method);
        if (subscriptionsOf(method).length > 0 && transport !== MESH_TRANSPORT)
          throw mixedDecorators(`${metatype.name}.${name}`);
        found ||= transport === undefined || transport === MESH_TRANSPORT;
      }
    }
  }
  return found;
}

function protoOf(instance: unknown): object | undefined {
  if (typeof instance !== 'object' || instance === null) return undefined;
  const prototype = Object.getPrototypeOf(instance) as object | null;
  return prototype === null || prototype === Object.prototype ? undefined : prototype;
}
