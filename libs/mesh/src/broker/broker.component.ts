import type { DrainReport, DrainOptions } from '../core/broker.port.js';
import type { ComponentContext, MeshComponent, StopContext } from '../core/component.port.js';
import type { HealthReport } from '../core/health.port.js';

interface LifecycleBroker {
  start?(context: ComponentContext): Promise<void>;
  drain(options: DrainOptions): Promise<DrainReport>;
  stop?(options: DrainOptions): Promise<void> | void;
  readHealth?(): readonly HealthReport[];
}

/** The broker as a part of the service's life. Consuming begins apart, when the whole application is up. */
export class BrokerComponent implements MeshComponent {
  readonly name = 'broker';
  readonly #broker: LifecycleBroker;

  constructor(broker: LifecycleBroker) {
    this.#broker = broker;
  }

  async start(context: ComponentContext): Promise<void> {
    await this.#broker.start?.(context);
  }

  async drain({ deadlineAt }: StopContext): Promise<void> {
    await this.#broker.drain({ deadlineAt });
  }

  async stop({ deadlineAt }: StopContext): Promise<void> {
    await this.#broker.stop?.({ deadlineAt });
  }

  check(_context: ComponentContext): HealthReport {
    return this.#broker.readHealth?.()[0] ?? { status: 'up' };
  }
}
