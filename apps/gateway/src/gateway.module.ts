import { Module } from '@nestjs/common';
import { DemoController } from './demo.controller.js';
import { OrderEvents } from './order-events.js';
import { OrdersController } from './orders.controller.js';
import { OrdersRepository } from './orders.repository.js';
import { OrdersService } from './orders.service.js';
import { PaymentsClient } from './payments.client.js';
import { PendingPayments } from './pending-payments.js';
import { ProductsController } from './products.controller.js';
import { ProductsService } from './products.service.js';
import { ReceiptsHandler } from './receipts.handler.js';

@Module({
  controllers: [ProductsController, OrdersController, DemoController],
  providers: [
    ProductsService,
    OrdersService,
    OrdersRepository,
    OrderEvents,
    PaymentsClient,
    PendingPayments,
    ReceiptsHandler,
  ],
})
export class GatewayModule {}
