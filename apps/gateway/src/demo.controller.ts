import { Body, Controller, Get, Put, StandardSchemaValidationPipe, UsePipes } from '@nestjs/common';
import { MessageBroker } from 'nestjs-mesh';
import { z } from 'zod';
import { inventory, type StockCount } from '../../contracts/src/inventory.contract.js';
import { type Account, payments, type ProviderBehaviour } from '../../contracts/src/payments.contract.js';

const behaviourSchema = z.strictObject({
  failureRatio: z.number().min(0).max(1).default(0),
  latencyMs: z.int().min(0).max(60_000).default(20),
});

/** The knob of the demo, that makes the payment provider fail or slow down, and the books of the others to look into. */
@Controller('demo')
@UsePipes(new StandardSchemaValidationPipe())
export class DemoController {
  constructor(private readonly broker: MessageBroker) {}

  @Put('provider')
  provider(@Body({ schema: behaviourSchema }) behaviour: ProviderBehaviour): Promise<ProviderBehaviour> {
    return this.broker.request(payments.configureProvider, behaviour);
  }

  @Get('account')
  account(): Promise<Account> {
    return this.broker.request(payments.showAccount);
  }

  @Get('stock')
  stock(): Promise<StockCount[]> {
    return this.broker.request(inventory.countStock);
  }
}
