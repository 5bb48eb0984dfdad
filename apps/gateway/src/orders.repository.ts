import { Injectable } from '@nestjs/common';

export interface Order {
  readonly id: string;
  readonly productId: string;
  readonly quantity: number;
  readonly amountCents: number;
  readonly status: 'paid' | 'payment-pending';
  readonly paymentId?: string;
}

/** Where orders are kept; a map stands in for the database. */
@Injectable()
export class OrdersRepository {
  readonly #orders = new Map<string, Order>();

  save(order: Order): Order {
    this.#orders.set(order.id, order);
    return order;
  }

  find(id: string): Order | undefined {
    return this.#orders.get(id);
  }

  withPendingPayment(): Order[] {
    return [...this.#orders.values()].filter((order) => order.status === 'payment-pending');
  }
}
