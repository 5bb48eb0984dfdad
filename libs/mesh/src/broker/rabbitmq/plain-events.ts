import type { Channel } from 'rabbitmq-client';
import type { QueueNames } from './queue-names.js';

/** How long queues without consumers and without a promise to keep anything stay, after a crash. */
const FORGET_EMPTY_MS = 60_000;

/** A queue that leaves with its last consumer. Durable only by name: the other kind is on its way out of RabbitMQ. */
export function passingQueue(queue: string) {
  return { queue, durable: true, autoDelete: true, arguments: { 'x-expires': FORGET_EMPTY_MS } } as const;
}

/** The queue of those of a group that are there, or a subscription's own one: what comes while nobody is there is for nobody. */
export async function declarePlain(
  channel: Channel,
  names: QueueNames,
  { topic, group }: { readonly topic: string; readonly group: string | false },
): Promise<{ readonly queue: string; readonly messageCount: number }> {
  const declared = await channel.queueDeclare(
    group === false ? { queue: '', exclusive: true } : passingQueue(names.plain(topic, group)),
  );
  await channel.queueBind({ queue: declared.queue, exchange: names.events, routingKey: names.key(topic) });
  return declared;
}
