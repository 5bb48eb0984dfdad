import type { MeshEvents } from '../../core/mesh.events.js';
import { isMeshError } from '../../core/mesh.error.js';
import type { Counter } from '../../core/metrics.port.js';
import { DeliveredMessage } from '../delivered.message.js';
import type { EventSubscription, Settlement } from '../event-subscription.js';
import { contextOf } from './message-headers.js';
import { decodePayload } from './payload.codec.js';
import type { EventSettlement, IncomingEvent } from './transport-driver.port.js';

interface EventIntakeParts {
  readonly transport: string;
  readonly events: MeshEvents;
  readonly dropped: Counter;
}

/** What takes the events of a transport for one subscription: from the wire's form into the subscription's queue. */
export function eventIntake(subscription: EventSubscription, parts: EventIntakeParts): (event: IncomingEvent) => void {
  const { topic } = subscription;
  return (event) => {
    const { id, headers, body, publishedAt, attempt, settle } = event;
    const deliveryOf = (payload: unknown) => ({
      message: new DeliveredMessage({ id, topic, payload, headers, publishedAt, attempt }),
      context: contextOf(headers, id),
      ...(settle && { settlement: settlementOf(settle, `${topic} ${id}`, parts) }),
    });
    // The server has forgotten it already, and memory is bounded.
    if (!settle && !subscription.hasRoom) return parts.dropped.inc();
    try {
      subscription.accept(deliveryOf(decodePayload(body)));
    } catch (error) {
      if (!isMeshError(error)) throw error;
      subscription.refuse(deliveryOf(Buffer.from(body.data)), error);
    }
  };
}

/** The transport's way of ending a message, without rejections: what could not be ended comes again. */
function settlementOf(settle: EventSettlement, message: string, { transport, events }: EventIntakeParts): Settlement {
  const attempt = async (what: string, work: Promise<void>): Promise<boolean> => {
    try {
      await work;
      return true;
    } catch (error) {
      events.emit('broker.transport-failed', { transport, what: `${what} of ${message}`, error });
      return false;
    }
  };
  return {
    ack: async () => void (await attempt('acknowledgement', settle.ack())),
    retry: async (delayMs) => void (await attempt('redelivery', settle.retry(delayMs))),
    putOff: async (delayMs) => void (await attempt('redelivery', settle.putOff?.(delayMs) ?? settle.retry(delayMs))),
    deadLetter: (letter) => attempt('dead letter', settle.deadLetter(letter)),
  };
}
