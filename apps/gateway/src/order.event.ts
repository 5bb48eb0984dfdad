import { type OrderCancelled, type OrderPaid, type OrderPlaced, orders } from '../../contracts/src/orders.contract.js';

/** An event about an order, waiting to be published. One id for each, so that a repeat is recognisable. */
export interface OrderEvent {
  readonly id: string;
  readonly topic: string;
  readonly payload: OrderPlaced | OrderPaid | OrderCancelled;
}

export function placed(payload: OrderPlaced): OrderEvent {
  return eventOf(orders.placed, payload);
}

export function paid(payload: OrderPaid): OrderEvent {
  return eventOf(orders.paid, payload);
}

export function cancelled(payload: OrderCancelled): OrderEvent {
  return eventOf(orders.cancelled, payload);
}

function eventOf(topic: string, payload: OrderEvent['payload']): OrderEvent {
  return { id: `${topic}:${payload.orderId}`, topic, payload };
}
