import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { MessageBroker } from 'nestjs-mesh';
import { inventory, type Reservation } from '../../contracts/src/inventory.contract.js';
import { orders, type OrderPlaced } from '../../contracts/src/orders.contract.js';
import { OrdersRepository, type Order } from './orders.repository.js';
import { PaymentsClient } from './payments.client.js';

export interface NewOrder {
  readonly productId: string;
  readonly quantity: number;
}

@Injectable()
export class OrdersService {
  constructor(
    private readonly broker: MessageBroker,
    private readonly payments: PaymentsClient,
    private readonly repository: OrdersRepository,
  ) {}

  /** Reserves the stock, charges for it (now, or later if payments are down), and tells the others. */
  async place({ productId, quantity }: NewOrder): Promise<Order> {
    const id = randomUUID();
    const { product } = await this.broker.request<Reservation>(inventory.reserve, { orderId: id, productId, quantity });
    const amountCents = product.priceCents * quantity;
    const receipt = await this.#chargeOrRelease(id, amountCents);
    const order = this.repository.save({
      id,
      productId,
      quantity,
      amountCents,
      ...(receipt ? { status: 'paid', paymentId: receipt.paymentId } : { status: 'payment-pending' }),
    });
    await this.broker.publish(orders.placed, { orderId: id, productId, quantity, amountCents } satisfies OrderPlaced);
    return order;
  }

  find(id: string): Order | undefined {
    return this.repository.find(id);
  }

  async #chargeOrRelease(orderId: string, amountCents: number) {
    try {
      return await this.payments.chargeOrDefer({ orderId, amountCents });
    } catch (error) {
      await this.broker.request(inventory.release, { orderId });
      throw error;
    }
  }
}
