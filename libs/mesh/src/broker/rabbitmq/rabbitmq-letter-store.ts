import type { Channel, SyncMessage } from 'rabbitmq-client';
import { withoutDeadLetterHeaders } from '../transport/dead-letter-headers.js';
import type { LetterStore, StoredLetter } from '../transport/stored-dead-letters.js';
import type { RabbitMqSession } from './rabbitmq-session.js';
import { bodyOf, bytesOf, DEAD_QUEUE, headersOf, idOf, propertiesOf } from './rabbitmq.message.js';

interface StoreParts {
  readonly topic: string;
  readonly queue: string;
  readonly session: () => RabbitMqSession;
  /** Declares the queue; resolves when it works. */
  readonly ensureQueue: () => Promise<unknown>;
  /** One after the other: a letter that is being looked at is out of sight for everybody else. */
  readonly exclusively: <T>(work: () => Promise<T>) => Promise<T>;
}

type Visitor = (letter: StoredLetter) => Promise<'keep' | 'remove'>;

/** The queue of a topic's dead letters. Looking at them takes them out of it for a moment. */
export class RabbitMqLetterStore implements LetterStore {
  readonly #parts: StoreParts;

  constructor(parts: StoreParts) {
    this.#parts = parts;
  }

  visit(limit: number, visit: Visitor): Promise<void> {
    const { ensureQueue, exclusively, session } = this.#parts;
    return exclusively(async () => {
      if (!(await this.#isThere())) return;
      // Perhaps another call is just making it.
      await ensureQueue();
      await session().onOwnChannel((channel) => this.#visit(channel, limit, visit));
    });
  }

  /** It comes with the first letter; looking for letters makes none. */
  async #isThere(): Promise<boolean> {
    const { queue, session } = this.#parts;
    try {
      await session().onOwnChannel((channel) => channel.queueDeclare({ queue, passive: true }));
      return true;
    } catch (error) {
      if ((error as { readonly code?: unknown }).code !== 'NOT_FOUND') throw error;
      return false;
    }
  }

  async #visit(channel: Channel, limit: number, visit: Visitor): Promise<void> {
    const { queue } = this.#parts;
    const kept: number[] = [];
    try {
      for (let left = limit, isFirst = true; left > 0; left--, isFirst = false) {
        const message = await channel.basicGet({ queue });
        if (!message) break;
        // Those that come while these are visited are not visited: one that is sent again may be back at once.
        if (isFirst) left = Math.min(limit, message.messageCount + 1);
        kept.push(message.deliveryTag);
        if ((await visit(this.#letterOf(message))) === 'keep') continue;
        kept.pop();
        channel.basicAck({ deliveryTag: message.deliveryTag });
      }
    } finally {
      if (channel.active && kept.length > 0) {
        for (const deliveryTag of kept) channel.basicNack({ deliveryTag, requeue: true });
        // Once this is answered, everybody gets them again.
        await channel.queueDeclare({ queue, passive: true });
      }
    }
  }

  #letterOf(message: SyncMessage): StoredLetter {
    const letter = {
      id: idOf(message) ?? '',
      publishedAt: (message.timestamp ?? 0) * 1_000,
      headers: headersOf(message),
      body: bodyOf(message),
    };
    return { ...letter, sendAgain: () => this.#sendAgain(letter) };
  }

  /** To the queue that gave it up alone: the other groups have handled it. */
  async #sendAgain({ id, headers, body }: Pick<StoredLetter, 'id' | 'headers' | 'body'>): Promise<true> {
    const { session, topic } = this.#parts;
    const { [DEAD_QUEUE]: queue = '', ...own } = withoutDeadLetterHeaders(headers);
    const properties = propertiesOf({ id, headers: own, body });
    await session().store({ ...properties, routingKey: queue }, bytesOf(body), topic);
    return true;
  }
}
