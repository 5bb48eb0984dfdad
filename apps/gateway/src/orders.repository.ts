import { Injectable } from '@nestjs/common';
import type { OrderEvent } from './order.event.js';

export interface Order {
  readonly id: string;
  readonly productId: string;
  readonly quantity: number;
  readonly amountCents: number;
  readonly status: 'payment-pending' | 'paid' | 'cancelled';
  readonly paymentId?: string;
}

interface StoredOrder {
  readonly order: Order;
  /** Epoch ms: whoever saved it charges for it until then, nobody else. */
  readonly chargedUntil: number;
}

/** Where orders and the events about them are kept; maps stand in for the two tables of a database. */
@Injectable()
export class OrdersRepository {
  readonly #orders = new Map<string, StoredOrder>();
  readonly #events = new Map<string, OrderEvent>();

  /** The order and its event in one transaction: what happened is published, and nothing that did not. */
  save(
    order: Order,
    { event, chargesForMs = 0 }: { readonly event?: OrderEvent; readonly chargesForMs?: number } = {},
  ): Order {
    this.#orders.set(order.id, { order, chargedUntil: Date.now() + chargesForMs });
    if (event) this.note(event);
    return order;
  }

  note(event: OrderEvent): void {
    this.#events.set(event.id, event);
  }

  /** In the order of their happening. */
  unpublished(): OrderEvent[] {
    return [...this.#events.values()];
  }

  markPublished({ id }: OrderEvent): void {
    this.#events.delete(id);
  }

  find(id: string): Order | undefined {
    return this.#orders.get(id)?.order;
  }

  /** Unpaid orders that nobody is charging for right now. */
  withPendingPayment(): Order[] {
    const now = Date.now();
    return [...this.#orders.values()]
      .filter(({ order, chargedUntil }) => order.status === 'payment-pending' && chargedUntil <= now)
      .map(({ order }) => order);
  }
}
