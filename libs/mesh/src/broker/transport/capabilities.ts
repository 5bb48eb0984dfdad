import type { PublishOptions, SubscribeOptions } from '../../core/broker.port.js';
import { CapabilityMissingError } from '../broker.errors.js';
import type { TransportDriver } from './transport-driver.port.js';

/** @throws {CapabilityMissingError} when nothing comes in over the transport as it is configured. */
export function assertInbound(
  { name, capabilities }: Pick<TransportDriver, 'name' | 'capabilities'>,
  what: string,
): void {
  if (capabilities.inbound === false)
    throw new CapabilityMissingError(
      name,
      `bring in ${what}`,
      capabilities.requestsOnly ?? capabilities.eventsOnly ?? 'name a place to listen at in broker.server',
    );
}

/** @throws {CapabilityMissingError} when no request goes out over the transport. */
export function assertRequests({ name, capabilities }: TransportDriver, pattern: string): void {
  if (capabilities.eventsOnly !== undefined)
    throw new CapabilityMissingError(name, `send the request "${pattern}"`, capabilities.eventsOnly);
}

/** @throws {CapabilityMissingError} when messages can't be published as it is asked for. */
export function assertPublishes(
  { name, capabilities }: TransportDriver,
  topic: string,
  { guarantee, id, key, headers }: PublishOptions,
): void {
  if (capabilities.requestsOnly !== undefined)
    throw new CapabilityMissingError(name, `publish a message for "${topic}"`, capabilities.requestsOnly);
  if (guarantee === 'confirmed' && !capabilities.confirmed)
    throw new CapabilityMissingError(name, `confirm a message for "${topic}"`, "publish with guarantee 'sent'");
  if (id !== undefined || key !== undefined || headers)
    assertCarriesHeaders({ name, capabilities }, `id, key or headers of a message for "${topic}"`);
}

/** @throws {CapabilityMissingError} where nothing travels beside the payload. */
export function assertCarriesHeaders(
  { name, capabilities }: Pick<TransportDriver, 'name' | 'capabilities'>,
  what: string,
): void {
  if (!capabilities.headers) throw new CapabilityMissingError(name, `carry the ${what}`, 'put it into the payload');
}

/** @throws {CapabilityMissingError} when the subscription asks for more than the transport can do. */
export function assertCapabilities(
  { name, capabilities }: TransportDriver,
  topic: string,
  { guarantee, group, replay, dedupe }: SubscribeOptions,
): void {
  assertInbound({ name, capabilities }, `messages for "${topic}"`);
  if (dedupe) assertCarriesHeaders({ name, capabilities }, `message ids that dedupe of "${topic}" needs`);
  const refuse = (what: string, instead: string): never => {
    throw new CapabilityMissingError(name, `${what}, which the subscription to "${topic}" asks for`, instead);
  };
  if (guarantee === 'atLeastOnce' && !capabilities.durable)
    refuse('store messages until they are handled', "use nats or rabbitmq, or the guarantee 'atMostOnce'");
  if (typeof group === 'string' && !capabilities.groups)
    refuse('share messages within a group', 'leave out `group`, or use nats or rabbitmq');
  if (group === false && !capabilities.broadcast)
    refuse('hand messages to every instance', 'leave out `group: false`, or use nats or rabbitmq');
  if (replay && !capabilities.replay)
    refuse('deliver again what was handled before', 'use nats, or keep the state that is built from it elsewhere');
}
