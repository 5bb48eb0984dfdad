import type { MessageHandler, RequestHandler, ServeOptions, SubscribeOptions } from '../core/broker.port.js';
import type { LiveOptions } from '../core/live-options.js';
import type { MeshEvents } from '../core/mesh.events.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { ServiceInfo } from '../core/service-info.js';
import { PayloadError } from './broker.errors.js';
import type { BrokerMetrics } from './broker.metrics.js';
import type { SharedBrokerOptions } from './broker.options.js';
import type { DedupeStore } from './dedupe/dedupe.store.js';
import { deduplicated } from './dedupe/deduplicated.js';
import { checked } from './payload-schema.js';

export interface HandlerParts {
  readonly events: MeshEvents;
  readonly metrics: BrokerMetrics;
  readonly options: LiveOptions<SharedBrokerOptions>;
  readonly service: ServiceInfo;
  readonly store: DedupeStore;
}

/** The handler with what its subscription asks for around it: the schema's check, then the memory of handled messages. */
export function prepareHandler(
  topic: string,
  handler: MessageHandler<never>,
  own: SubscribeOptions & { readonly name: string },
  { events, metrics, options, service, store }: HandlerParts,
): MessageHandler<never> {
  const { schema, dedupe } = own;
  const guarded = schema ? (checked(schema, `The message of "${topic}"`, handler) as MessageHandler<never>) : handler;
  if (!dedupe) return guarded;
  return deduplicated(guarded, {
    store,
    topic,
    consumer: consumerOf(own, service),
    events,
    duplicates: metrics.counter(topic, 'deliver', 'duplicate'),
    times: () => options.current.dedupe,
  });
}

/** Who shares a memory of handled messages: those who share the messages. */
function consumerOf({ name, group }: { readonly name: string; readonly group?: string | false }, service: ServiceInfo) {
  return group === false ? `${service.name}/${service.instance}.${name}` : groupOf(name, group, service);
}

/** The group of a subscription that shares its messages: its own name for it, or service and name, the same in every instance. */
export function groupOf(name: string, group: string | undefined, service: ServiceInfo): string {
  return group ?? `${service.name}.${name}`;
}

/** What a handler is called where its options don't say it. */
export function nameOf(handler: { readonly name: string }, { name }: { readonly name?: string }): string {
  return name ?? (handler.name || 'anonymous');
}

/** The handler behind the schema of its requests, if it has one. */
export function prepareRequestHandler(key: string, handler: RequestHandler, { schema }: ServeOptions): RequestHandler {
  return schema ? checked(schema, `The request "${key}"`, handler) : handler;
}

export function assertTopic(topic: string): void {
  if (typeof topic !== 'string' || topic === '')
    throw new PayloadError(`A topic is a string that is not empty, not ${topic === '' ? "''" : typeof topic}.`);
}

export function assertSubscribeOptions(
  topic: string,
  { concurrency, maxDeliver, backoffMs, replay, group, guarantee }: SubscribeOptions,
): void {
  assertTopic(topic);
  const wrong = (name: string, value: unknown): never => {
    throw new MeshConfigError(
      `The subscription to "${topic}" has ${name} ${String(value)}: it must be a whole number of at least 1.`,
    );
  };
  if (concurrency !== undefined && !(Number.isInteger(concurrency) && concurrency >= 1))
    wrong('concurrency', concurrency);
  if (maxDeliver !== undefined && !(Number.isInteger(maxDeliver) && maxDeliver >= 1)) wrong('maxDeliver', maxDeliver);
  if (backoffMs && (backoffMs.length === 0 || backoffMs.some((ms) => !(ms >= 0))))
    throw new MeshConfigError(
      `The subscription to "${topic}" needs backoffMs with at least one delay, none of them negative.`,
    );
  if (replay && (group !== false || guarantee !== 'atLeastOnce'))
    throw new MeshConfigError(
      `The subscription to "${topic}" has replay, which needs \`group: false\` and the guarantee 'atLeastOnce'.`,
    );
}
