import type { Channel, SyncMessage } from 'rabbitmq-client';
import type { DeadLetter, DeadLetters } from '../../core/broker.port.js';
import { deadLetterOf, withoutDeadLetterHeaders } from '../transport/dead-letter-headers.js';
import type { RabbitMqSession } from './rabbitmq-session.js';
import { bodyOf, bytesOf, headersOf, idOf, propertiesOf } from './rabbitmq.message.js';
import { DEAD_QUEUE } from './stored-events.js';

const LIST_LIMIT = 1_000;

interface LetterParts {
  readonly session: () => RabbitMqSession;
  readonly ensureDead: (topic: string) => Promise<string>;
  /** One after the other: a letter that is being looked at is out of sight for everybody else. */
  readonly exclusively: <T>(work: () => Promise<T>) => Promise<T>;
}

/** The dead letters of a topic, as its queue keeps them. Looking at them takes them out of the queue for a moment. */
export function deadLettersOf(topic: string, { session, ensureDead, exclusively }: LetterParts): DeadLetters {
  /** Visits the letters from the oldest on; those for which `visit` is true are over, the others stay. */
  const visitAll = (limit: number, visit: (message: SyncMessage) => Promise<boolean>): Promise<void> =>
    exclusively(async () => {
      const queue = await ensureDead(topic);
      await session().onOwnChannel((channel) => visitQueue(channel, { queue, limit, visit }));
    });

  const take = async (ids: readonly string[] | undefined, end: (message: SyncMessage) => Promise<void>) => {
    const wanted = ids && new Set(ids);
    let count = 0;
    await visitAll(Number.POSITIVE_INFINITY, async (message) => {
      if (wanted && !wanted.has(idOf(message) ?? '')) return false;
      await end(message);
      count++;
      return true;
    });
    return count;
  };

  return {
    list: async () => {
      const letters: DeadLetter[] = [];
      await visitAll(LIST_LIMIT, async (message) => {
        const publishedAt = (message.timestamp ?? 0) * 1_000;
        const id = idOf(message) ?? '';
        letters.push(deadLetterOf({ id, topic, publishedAt }, headersOf(message), bodyOf(message)));
        return false;
      });
      return letters;
    },
    redrive: (ids) =>
      take(ids, async (message) => {
        const { [DEAD_QUEUE]: queue = '', ...headers } = withoutDeadLetterHeaders(headersOf(message));
        const body = bodyOf(message);
        const properties = propertiesOf({ id: idOf(message) ?? '', headers, body });
        // To the queue that gave it up alone: the other groups have handled it.
        await session().store({ ...properties, routingKey: queue }, bytesOf(body), topic);
      }),
    discard: (ids) => take(ids, async () => undefined),
  };
}

interface Visit {
  readonly queue: string;
  readonly limit: number;
  readonly visit: (message: SyncMessage) => Promise<boolean>;
}

async function visitQueue(channel: Channel, { queue, limit, visit }: Visit): Promise<void> {
  const kept: number[] = [];
  try {
    // Not by the queue's own count: what was just put back is missing in it for a moment, though not here.
    for (let left = limit; left > 0; left--) {
      const message = await channel.basicGet({ queue });
      if (!message) break;
      kept.push(message.deliveryTag);
      if (!(await visit(message))) continue;
      kept.pop();
      channel.basicAck({ deliveryTag: message.deliveryTag });
    }
  } finally {
    if (channel.active) {
      for (const deliveryTag of kept) channel.basicNack({ deliveryTag, requeue: true });
      // Once this is answered, everybody gets them again.
      await channel.queueDeclare({ queue, passive: true });
    }
  }
}
