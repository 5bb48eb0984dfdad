import { Injectable } from '@nestjs/common';
import { callSignal, MessageBroker, Resilient } from 'nestjs-mesh';
import { payments, type Charge, type Receipt } from '../../contracts/src/payments.contract.js';
import { isRefusal } from './refusal.js';

/** Asks payments for money. Both methods share one policy, and so one circuit breaker. */
@Injectable()
export class PaymentsClient {
  constructor(private readonly broker: MessageBroker) {}

  /**
   * Charges now, or answers `undefined` when that is not possible or its outcome unknown: the order is charged later, once
   * in all. Rejects only when payments refuse the charge.
   */
  @Resilient('payments.charge', {
    idempotent: true,
    fallback: 'chargeLater',
    fallbackWhen: (error) => !isRefusal(error),
  })
  chargeOrDefer(charge: Charge): Promise<Receipt | undefined> {
    return this.#request(charge);
  }

  /** Charges now or fails. */
  @Resilient('payments.charge', { idempotent: true })
  charge(charge: Charge): Promise<Receipt> {
    return this.#request(charge);
  }

  chargeLater(_charge: Charge): Promise<Receipt | undefined> {
    return Promise.resolve(undefined);
  }

  #request(charge: Charge): Promise<Receipt> {
    return this.broker.request(payments.charge, charge, { signal: callSignal() });
  }
}
