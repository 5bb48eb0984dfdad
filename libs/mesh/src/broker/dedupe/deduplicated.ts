import type { Message, MessageHandler } from '../../core/broker.port.js';
import type { MeshEvents } from '../../core/mesh.events.js';
import type { Counter } from '../../core/metrics.port.js';
import { MessageBusyError } from '../broker.errors.js';
import type { Claim, DedupeStore } from './dedupe.store.js';

export interface Deduplication {
  readonly store: DedupeStore;
  readonly topic: string;
  /** Whose memory it is: the same id is handled once by each consumer. */
  readonly consumer: string;
  readonly events: MeshEvents;
  readonly duplicates: Counter;
  readonly times: () => { readonly leaseMs: number; readonly ttlMs: number };
}

/**
 * `handler`, run once for each message id. A failure lets the id go, so that redelivery works. While the store is away
 * messages are handled without it: a duplicate is expected of at-least-once delivery, a standstill is not.
 */
export function deduplicated(handler: MessageHandler<never>, parts: Deduplication): MessageHandler<never> {
  const { store, topic, consumer, events, duplicates, times } = parts;
  const tell = (error: unknown): void => events.emit('broker.dedupe-unavailable', { topic, handler: consumer, error });
  const claimOf = async (key: string, leaseMs: number): Promise<Claim> => {
    try {
      return await store.claim(key, leaseMs);
    } catch (error) {
      tell(error);
      return 'mine';
    }
  };

  return async (payload: never, message: Message<never>) => {
    const key = `${consumer}:${topic}:${message.id}`;
    const { leaseMs } = times();
    const claim = await claimOf(key, leaseMs);
    if (claim === 'busy') throw new MessageBusyError(topic, message.id, leaseMs);
    if (claim === 'done') return duplicates.inc();
    try {
      await handler(payload, message);
    } catch (error) {
      await Promise.resolve(store.release(key)).catch(tell);
      throw error;
    }
    return Promise.resolve(store.done(key, times().ttlMs)).catch(tell);
  };
}
