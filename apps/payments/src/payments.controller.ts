import { BadGatewayException, Controller } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { ServiceMesh } from 'nestjs-mesh';
import {
  type Account,
  type Charge,
  payments,
  type ProviderBehaviour,
  type Receipt,
} from '../../contracts/src/payments.contract.js';
import { ProviderStub } from './provider.stub.js';

@Controller()
export class PaymentsController {
  /** A provider elsewhere takes the place of the stand-in. */
  readonly #providerUrl = process.env['PROVIDER_URL'];

  constructor(
    private readonly mesh: ServiceMesh,
    private readonly provider: ProviderStub,
  ) {}

  @MessagePattern(payments.charge)
  async charge(@Payload() charge: Charge): Promise<Receipt> {
    const response = await this.mesh.fetch('payments.provider', `${this.#providerUrl ?? this.provider.url}/charges`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': charge.orderId },
      body: JSON.stringify(charge),
      propagate: false,
    });
    if (!response.ok) throw new BadGatewayException(`The payment provider answered ${response.status}.`);
    return (await response.json()) as Receipt;
  }

  @MessagePattern(payments.configureProvider)
  configureProvider(@Payload() behaviour: ProviderBehaviour): ProviderBehaviour {
    return this.provider.behave(behaviour);
  }

  @MessagePattern(payments.showAccount)
  showAccount(): Account {
    return this.provider.account;
  }
}
