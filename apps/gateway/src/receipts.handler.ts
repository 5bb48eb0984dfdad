import { Injectable, Logger } from '@nestjs/common';
import { Subscribe } from 'nestjs-mesh';
import { orders, type OrderPaid, type OrderPlaced } from '../../contracts/src/orders.contract.js';

/** Writes to the customer; the log stands in for the mail server. */
@Injectable()
export class ReceiptsHandler {
  readonly #logger = new Logger(ReceiptsHandler.name);
  readonly #written = new Set<string>();

  @Subscribe(orders.placed)
  onPlaced({ orderId, amountCents }: OrderPlaced): void {
    this.#written.add(orderId);
    this.#logger.log(`Receipt for order ${orderId}: ${(amountCents / 100).toFixed(2)} EUR`);
  }

  @Subscribe(orders.paid)
  onPaid({ orderId, paymentId }: OrderPaid): void {
    this.#logger.log(`Order ${orderId} is paid at last: payment ${paymentId}`);
  }

  hasReceipt(orderId: string): boolean {
    return this.#written.has(orderId);
  }
}
