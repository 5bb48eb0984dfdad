import { Injectable } from '@nestjs/common';
import { callSignal, MessageBroker, Resilient } from 'nestjs-mesh';
import { payments, type Charge, type Receipt } from '../../contracts/src/payments.contract.js';

/** Asks payments for money. */
@Injectable()
export class PaymentsClient {
  constructor(private readonly broker: MessageBroker) {}

  /** Rejects when payments refuse, can't be reached, or don't say what became of the charge. */
  @Resilient('payments.charge', { idempotent: true })
  charge(charge: Charge): Promise<Receipt> {
    return this.broker.request(payments.charge, charge, { signal: callSignal() });
  }
}
