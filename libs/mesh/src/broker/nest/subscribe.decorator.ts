import 'reflect-metadata';
import type { SubscribeOptions } from '../../core/broker.port.js';
import { MeshConfigError } from '../../core/mesh.errors.js';
import {
  addSubscription,
  EVENT_HANDLER,
  MESH_TRANSPORT,
  PARAM_ARGS,
  PATTERN,
  PATTERN_EXTRAS,
  PATTERN_HANDLER,
  PATTERN_TRANSPORT,
  SUBSCRIPTIONS,
  subscriptionsOf,
} from './pattern-metadata.js';

// The two arguments of a message handler in the form that Nest's parameter decorators write: payload, context.
const PAYLOAD_AND_MESSAGE = {
  '3:0': { index: 0, data: undefined, pipes: [] },
  '6:1': { index: 1, data: undefined, pipes: [] },
};

/**
 * Calls the method with `(payload, message)` for every message of `topic`. Works on controllers, where the method's
 * guards, pipes, interceptors and filters apply, and on singleton providers, where the bare method is called. May be
 * repeated for several topics.
 */
export function Subscribe(topic: string, options: SubscribeOptions = {}): MethodDecorator {
  return (target, key, descriptor) => {
    const method = descriptor.value as object;
    if (Reflect.hasOwnMetadata(PATTERN_HANDLER, method) && subscriptionsOf(method).length === 0)
      throw mixedDecorators(`${target.constructor.name}.${String(key)}`);
    const subscriptions = addSubscription(method, { topic, options });

    // On a controller Nest itself finds the method by this, so that its enhancers apply; other transports skip it.
    Reflect.defineMetadata(
      PATTERN,
      subscriptions.map((subscription) => subscription.topic),
      method,
    );
    Reflect.defineMetadata(PATTERN_HANDLER, EVENT_HANDLER, method);
    Reflect.defineMetadata(PATTERN_TRANSPORT, MESH_TRANSPORT, method);
    Reflect.defineMetadata(PATTERN_EXTRAS, { [SUBSCRIPTIONS]: subscriptions }, method);
    if (!Reflect.hasOwnMetadata(PARAM_ARGS, target.constructor, key))
      Reflect.defineMetadata(PARAM_ARGS, PAYLOAD_AND_MESSAGE, target.constructor, key);
  };
}

/** The two write the same metadata of Nest, so that one of them would be lost. */
export function mixedDecorators(method: string): MeshConfigError {
  return new MeshConfigError(
    `${method} has @Subscribe beside @MessagePattern or @EventPattern; use one of them, or two methods.`,
  );
}
