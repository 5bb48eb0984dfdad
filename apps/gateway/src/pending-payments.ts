import { Logger } from '@nestjs/common';
import { isMeshError, MeshComponent, MessageBroker } from 'nestjs-mesh';
import { orders, type OrderPaid } from '../../contracts/src/orders.contract.js';
import { OrdersRepository, type Order } from './orders.repository.js';
import { PaymentsClient } from './payments.client.js';

const EVERY_MS = 500;

/** Charges the orders whose payment had to wait, as soon as the payments' circuit lets calls through again. */
@MeshComponent({ name: 'pending-payments' })
export class PendingPayments {
  readonly #logger = new Logger(PendingPayments.name);
  #timer: NodeJS.Timeout | undefined;
  #round = Promise.resolve();

  constructor(
    private readonly broker: MessageBroker,
    private readonly payments: PaymentsClient,
    private readonly repository: OrdersRepository,
  ) {}

  start(): void {
    this.#schedule();
  }

  /** Lets the running round finish: a charge that has begun is recorded. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#round;
  }

  #schedule(): void {
    this.#timer = setTimeout(() => {
      this.#round = this.#settle().finally(() => this.#timer && this.#schedule());
    }, EVERY_MS);
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
    const { paymentId } = await this.payments.charge({ orderId: order.id, amountCents: order.amountCents });
    this.repository.save({ ...order, status: 'paid', paymentId });
    await this.broker.publish(orders.paid, { orderId: order.id, paymentId } satisfies OrderPaid);
  }
}
