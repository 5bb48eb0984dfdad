import { EventEmitter, once } from 'node:events';
import { Injectable } from '@nestjs/common';
import { Subscribe, type SubscribeOptions } from 'nestjs-mesh';
import {
  type OrderCancelled,
  type OrderPaid,
  type OrderPlaced,
  orders,
  type PaymentPutOff,
} from '../../contracts/src/orders.contract.js';

export interface Order {
  readonly id: string;
  readonly productId: string;
  readonly quantity: number;
  readonly amountCents: number;
  readonly status: 'payment-pending' | 'paid' | 'cancelled';
  readonly paymentId?: string;
}

/** Each gateway gets every event, and one that starts gets all there have been. */
const FROM_THE_LOG: SubscribeOptions = { group: false, guarantee: 'atLeastOnce', replay: true };

/**
 * The orders as the log tells them. The log is what is kept; a gateway that is killed loses nothing but this summary of it,
 * and makes it again. Events of different topics come in any order, and some twice.
 */
@Injectable()
export class OrderBook {
  readonly #placed = new Map<string, OrderPlaced>();
  readonly #payments = new Map<string, string>();
  readonly #cancelled = new Set<string>();
  readonly #news = new EventEmitter();

  @Subscribe(orders.placed, FROM_THE_LOG)
  onPlaced(order: OrderPlaced): void {
    this.#placed.set(order.orderId, order);
  }

  @Subscribe(orders.paid, FROM_THE_LOG)
  onPaid({ orderId, paymentId }: OrderPaid): void {
    this.#payments.set(orderId, paymentId);
    this.#news.emit(orderId);
  }

  @Subscribe(orders.cancelled, FROM_THE_LOG)
  onCancelled({ orderId }: OrderCancelled): void {
    this.#cancelled.add(orderId);
    this.#news.emit(orderId);
  }

  @Subscribe(orders.paymentPutOff, { group: false })
  onPutOff({ orderId }: PaymentPutOff): void {
    this.#news.emit(orderId);
  }

  find(id: string): Order | undefined {
    const placed = this.#placed.get(id);
    if (!placed) return undefined;
    const { productId, quantity, amountCents } = placed;
    const order = { id, productId, quantity, amountCents };
    const paymentId = this.#payments.get(id);
    if (paymentId !== undefined) return { ...order, status: 'paid', paymentId };
    return { ...order, status: this.#cancelled.has(id) ? 'cancelled' : 'payment-pending' };
  }

  /** Resolves when there is news of its payment, good or bad, or the time is over. */
  async news(id: string, withinMs: number): Promise<void> {
    await once(this.#news, id, { signal: AbortSignal.timeout(withinMs) }).catch(() => undefined);
  }
}
