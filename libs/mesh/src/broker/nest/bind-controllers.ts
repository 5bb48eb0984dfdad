import { ApplicationConfig, GraphInspector, type NestContainer } from '@nestjs/core';
import { NestMicroservice } from '@nestjs/microservices';
import type { MessageServer } from '../../core/broker.port.js';
import { MeshStrategy } from './mesh.strategy.js';
import type { ConnectOptions } from './nest-handlers.js';
import { bindPlainHandler, hasGlobalEnhancers } from './plain-handler.js';

type ControllerWrapper = ReturnType<typeof controllersOf>[number];
type Entrypoint = Parameters<GraphInspector['insertEntrypointDefinition']>[0];

/**
 * Binds every message handler of the container's controllers to the broker, through a Nest microservice over the mesh's
 * strategy. It is the only file, with the strategy, that loads @nestjs/microservices.
 */
export async function bindControllers(
  container: NestContainer,
  config: ApplicationConfig,
  broker: MessageServer,
  { inheritGlobals = true, ownFilters = [] }: ConnectOptions,
): Promise<void> {
  const effective = inheritGlobals ? config : new ApplicationConfig();
  if (!inheritGlobals) effective.useGlobalFilters(...ownFilters);
  const strategy = new MeshStrategy(broker);
  const enhancedGlobally = hasGlobalEnhancers(effective, ownFilters);
  const announcer = new HandlerAnnouncer(container, (wrapper, methodName) =>
    strategy.announce({
      name: `${wrapper.metatype?.name ?? 'anonymous'}.${methodName}`,
      plain:
        enhancedGlobally || !wrapper.isDependencyTreeStatic()
          ? undefined
          : bindPlainHandler(wrapper.instance as object, methodName),
    }),
  );
  new NestMicroservice(container, { strategy }, announcer, effective).registerListeners();
  await strategy.subscribed();
}

function controllersOf(container: NestContainer) {
  return [...container.getModules().values()].flatMap((module) => [...module.controllers.values()]);
}

/** Nest tells its graph inspector which method comes next just before it hands over the handler, which has no name. */
class HandlerAnnouncer extends GraphInspector {
  readonly #wrappers: ReadonlyMap<string, ControllerWrapper>;
  readonly #announce: (wrapper: ControllerWrapper, methodName: string) => void;

  constructor(container: NestContainer, announce: (wrapper: ControllerWrapper, methodName: string) => void) {
    super(container);
    this.#wrappers = new Map(controllersOf(container).map((wrapper) => [wrapper.id, wrapper]));
    this.#announce = announce;
  }

  override insertEntrypointDefinition<T>(definition: Entrypoint & T, parentId: string): void {
    super.insertEntrypointDefinition(definition, parentId);
    const wrapper = this.#wrappers.get(parentId);
    if (wrapper) this.#announce(wrapper, definition.methodName);
  }
}
