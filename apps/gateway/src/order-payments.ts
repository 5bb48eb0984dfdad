import { Injectable, Logger } from '@nestjs/common';
import { type Message, MessageBroker, Subscribe } from 'nestjs-mesh';
import { type OrderCancelled, type OrderPaid, type OrderPlaced, orders } from '../../contracts/src/orders.contract.js';
import { PaymentsClient } from './payments.client.js';
import { isRefusal } from './refusal.js';

/** Until it is paid or refused, however long that takes. */
const UNTIL_SETTLED = { guarantee: 'atLeastOnce', maxDeliver: 1_000_000, backoffMs: [500, 1_000, 2_000] } as const;

/**
 * Charges for the orders in the log, in whichever gateway. An order is done with once its end is in the log as well; when
 * anything goes wrong before, the broker delivers it again. Payments charge an order once, however often they are asked.
 */
@Injectable()
export class OrderPayments {
  readonly #logger = new Logger(OrderPayments.name);

  constructor(
    private readonly broker: MessageBroker,
    private readonly payments: PaymentsClient,
  ) {}

  @Subscribe(orders.placed, UNTIL_SETTLED)
  async charge({ orderId, amountCents }: OrderPlaced, { attempt }: Message): Promise<void> {
    try {
      const { paymentId } = await this.payments.charge({ orderId, amountCents });
      await this.#log(orders.paid, { orderId, paymentId });
    } catch (error) {
      if (!isRefusal(error)) {
        if (attempt === 1) this.#putOff(orderId);
        throw error;
      }
      this.#logger.warn(`Order ${orderId} is cancelled, its payment was refused: ${String(error)}`);
      await this.#log(orders.cancelled, { orderId });
    }
  }

  async #log(topic: string, end: OrderPaid | OrderCancelled): Promise<void> {
    await this.broker.publish(topic, end, { id: `${topic}:${end.orderId}`, guarantee: 'confirmed' });
  }

  /** The customer who waits need not wait longer. One who does not hear it waits a little longer. */
  #putOff(orderId: string): void {
    this.broker.publish(orders.paymentPutOff, { orderId }).catch(() => undefined);
  }
}
