import { Injectable } from '@nestjs/common';
import { MessageBroker } from 'nestjs-mesh';
import { inventory, type Reservation } from '../../contracts/src/inventory.contract.js';
import { type OrderPlaced, orders } from '../../contracts/src/orders.contract.js';
import { OrderBook, type Order } from './order-book.js';

export interface NewOrder {
  readonly productId: string;
  readonly quantity: number;
}

const RESERVED_WITHIN_MS = 1_500;
const STORED_WITHIN_MS = 2_000;
/** How long a customer waits for the payment; longer than a charge takes with all its attempts. */
const PAID_WITHIN_MS = 2_000;

@Injectable()
export class OrdersService {
  constructor(
    private readonly broker: MessageBroker,
    private readonly book: OrderBook,
  ) {}

  /**
   * Reserves the stock and writes the order into the log. From then on it is accepted: whatever is killed now, the order
   * is there, and is charged for. Placing it again under the same id changes nothing, so a customer without an answer may.
   */
  async place(id: string, { productId, quantity }: NewOrder): Promise<Order> {
    const known = this.book.find(id);
    if (known) return known;
    const request = { orderId: id, productId, quantity };
    const { product } = await this.broker.request<Reservation>(inventory.reserve, request, {
      timeoutMs: RESERVED_WITHIN_MS,
    });
    const placed: OrderPlaced = { ...request, amountCents: product.priceCents * quantity };
    const news = this.book.news(id, STORED_WITHIN_MS + PAID_WITHIN_MS);
    await this.broker.publish(orders.placed, placed, {
      id: `${orders.placed}:${id}`,
      guarantee: 'confirmed',
      timeoutMs: STORED_WITHIN_MS,
    });
    this.book.onPlaced(placed);
    await news;
    return this.book.find(id)!;
  }

  find(id: string): Order | undefined {
    return this.book.find(id);
  }
}
