import { Logger } from '@nestjs/common';
import { isMeshError, MeshComponent } from 'nestjs-mesh';
import { cancelled, paid } from './order.event.js';
import { OrdersRepository, type Order } from './orders.repository.js';
import { PaymentsClient } from './payments.client.js';
import { isRefusal } from './refusal.js';
import { Rounds } from './rounds.js';

const EVERY_MS = 500;

/** Charges the orders whose payment had to wait, as soon as the payments' circuit lets calls through again. */
@MeshComponent({ name: 'pending-payments' })
export class PendingPayments {
  readonly #logger = new Logger(PendingPayments.name);
  readonly #rounds = new Rounds(EVERY_MS, () => this.#settle());

  constructor(
    private readonly payments: PaymentsClient,
    private readonly repository: OrdersRepository,
  ) {}

  start(): void {
    this.#rounds.start();
  }

  /** Lets the running round finish: a charge that has begun is recorded. */
  async stop(): Promise<void> {
    await this.#rounds.stop();
  }

  /** Stops at the first failure: the next round tries again. */
  async #settle(): Promise<void> {
    for (const order of this.repository.withPendingPayment()) {
      try {
        await this.#charge(order);
      } catch (error) {
        if (!isMeshError(error, 'MESH_CIRCUIT_OPEN'))
          this.#logger.warn(`Order ${order.id} is still unpaid: ${String(error)}`);
        return;
      }
    }
  }

  async #charge(order: Order): Promise<void> {
    const { id: orderId, amountCents } = order;
    try {
      const { paymentId } = await this.payments.charge({ orderId, amountCents });
      this.repository.save({ ...order, status: 'paid', paymentId }, { event: paid({ orderId, paymentId }) });
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#logger.warn(`Order ${orderId} is cancelled, its payment was refused: ${String(error)}`);
      this.repository.save({ ...order, status: 'cancelled' }, { event: cancelled({ orderId }) });
    }
  }
}
