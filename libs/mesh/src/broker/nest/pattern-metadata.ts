import type { SubscribeOptions } from '../../core/broker.port.js';

/** The transport id of the mesh's broker: `@MessagePattern('sum', MESH_TRANSPORT)` is served by the mesh alone. */
export const MESH_TRANSPORT: unique symbol = Symbol.for('nestjs-mesh.broker') as never;

// Nest's own keys, by value: importing them would load @nestjs/microservices into applications without handlers.
export const PATTERN = 'microservices:pattern';
export const PATTERN_EXTRAS = 'microservices:pattern_extras';
export const PATTERN_TRANSPORT = 'microservices:transport';
export const PATTERN_HANDLER = 'microservices:handler_type';
/** The value of {@link PATTERN_HANDLER} for `@EventPattern`. */
export const EVENT_HANDLER = 2;
export const PARAM_ARGS = '__routeArguments__';

export const SUBSCRIPTIONS: unique symbol = Symbol.for('nestjs-mesh.subscriptions') as never;

export interface SubscriptionMetadata {
  readonly topic: string;
  readonly options: SubscribeOptions;
}

/** What `@Subscribe` left on a method. */
export function subscriptionsOf(method: object): readonly SubscriptionMetadata[] {
  return (Reflect.getOwnMetadata(SUBSCRIPTIONS, method) as SubscriptionMetadata[] | undefined) ?? [];
}

export function addSubscription(method: object, subscription: SubscriptionMetadata): readonly SubscriptionMetadata[] {
  const subscriptions = [...subscriptionsOf(method), subscription];
  Reflect.defineMetadata(SUBSCRIPTIONS, subscriptions, method);
  return subscriptions;
}
