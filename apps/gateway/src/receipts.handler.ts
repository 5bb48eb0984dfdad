import { Injectable, Logger } from '@nestjs/common';
import { Subscribe, type SubscribeOptions } from 'nestjs-mesh';
import { type OrderPaid, type OrderPlaced, orders } from '../../contracts/src/orders.contract.js';

/** A mail can't be taken back: every event is delivered, and each is handled once. */
const ONCE: SubscribeOptions = { guarantee: 'atLeastOnce', dedupe: true };

/** Writes to the customer; the log stands in for the mail server. */
@Injectable()
export class ReceiptsHandler {
  readonly #logger = new Logger(ReceiptsHandler.name);

  @Subscribe(orders.placed, ONCE)
  onPlaced({ orderId, amountCents }: OrderPlaced): void {
    this.#logger.log(`Receipt for order ${orderId}: ${(amountCents / 100).toFixed(2)} EUR`);
  }

  @Subscribe(orders.paid, ONCE)
  onPaid({ orderId, paymentId }: OrderPaid): void {
    this.#logger.log(`Order ${orderId} is paid: payment ${paymentId}`);
  }
}
