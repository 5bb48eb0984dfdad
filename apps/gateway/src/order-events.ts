import { Logger } from '@nestjs/common';
import { isMeshError, MeshComponent, MessageBroker } from 'nestjs-mesh';
import { OrdersRepository } from './orders.repository.js';
import { Rounds } from './rounds.js';

const EVERY_MS = 100;
const CONFIRMED_WITHIN_MS = 2_000;

/** Publishes the events that the repository has noted: each in its turn, until the transport has confirmed it. */
@MeshComponent({ name: 'order-events' })
export class OrderEvents {
  readonly #logger = new Logger(OrderEvents.name);
  readonly #rounds = new Rounds(EVERY_MS, () => this.#publish());

  constructor(
    private readonly broker: MessageBroker,
    private readonly repository: OrdersRepository,
  ) {}

  start(): void {
    this.#rounds.start();
  }

  /** What the last orders noted goes out before the connection closes. */
  async stop(): Promise<void> {
    await this.#rounds.stop();
    await this.#publish();
  }

  /** Stops at the first failure, so that the events of an order keep their order; the next round tries again. */
  async #publish(): Promise<void> {
    for (const event of this.repository.unpublished()) {
      const { id, topic, payload } = event;
      try {
        await this.broker.publish(topic, payload, { id, guarantee: 'confirmed', timeoutMs: CONFIRMED_WITHIN_MS });
        this.repository.markPublished(event);
      } catch (error) {
        if (!isMeshError(error, 'MESH_DRAINING')) this.#logger.warn(`${id} is not published yet: ${String(error)}`);
        return;
      }
    }
  }
}
