import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { isUnsent, MessageBroker } from 'nestjs-mesh';
import { inventory, type Reservation } from '../../contracts/src/inventory.contract.js';
import { cancelled, paid, placed } from './order.event.js';
import { OrdersRepository, type Order } from './orders.repository.js';
import { PaymentsClient } from './payments.client.js';
import { isRefusal } from './refusal.js';

export interface NewOrder {
  readonly productId: string;
  readonly quantity: number;
}

/** Longer than a charge takes with all its attempts. */
const CHARGES_FOR_MS = 5_000;

@Injectable()
export class OrdersService {
  constructor(
    private readonly broker: MessageBroker,
    private readonly payments: PaymentsClient,
    private readonly repository: OrdersRepository,
  ) {}

  /**
   * Reserves the stock, notes the order, and charges for it: now, or later if payments can't be reached or don't say what
   * became of the charge. What was noted is never lost again; only a refusal of the payment cancels it.
   */
  async place({ productId, quantity }: NewOrder): Promise<Order> {
    const id = randomUUID();
    const { product } = await this.#reserve({ orderId: id, productId, quantity });
    const amountCents = product.priceCents * quantity;
    const order = this.repository.save(
      { id, productId, quantity, amountCents, status: 'payment-pending' },
      { event: placed({ orderId: id, productId, quantity, amountCents }), chargesForMs: CHARGES_FOR_MS },
    );
    return this.#charge(order);
  }

  find(id: string): Order | undefined {
    return this.repository.find(id);
  }

  /** Nobody remembers an order whose reservation failed: if inventory may have made it, it is told that there is no order. */
  async #reserve(request: NewOrder & { readonly orderId: string }): Promise<Reservation> {
    try {
      return await this.broker.request<Reservation>(inventory.reserve, request);
    } catch (error) {
      if (!isUnsent(error) && !isRefusal(error)) this.repository.note(cancelled(request));
      throw error;
    }
  }

  async #charge(order: Order): Promise<Order> {
    const { id: orderId, amountCents } = order;
    try {
      const receipt = await this.payments.chargeOrDefer({ orderId, amountCents });
      if (!receipt) return this.repository.save(order);
      const { paymentId } = receipt;
      return this.repository.save({ ...order, status: 'paid', paymentId }, { event: paid({ orderId, paymentId }) });
    } catch (error) {
      if (!isRefusal(error)) return this.repository.save(order);
      this.repository.save({ ...order, status: 'cancelled' }, { event: cancelled({ orderId }) });
      throw error;
    }
  }
}
