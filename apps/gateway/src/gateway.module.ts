import { Module } from '@nestjs/common';
import { DemoController } from './demo.controller.js';
import { OrderBook } from './order-book.js';
import { OrderPayments } from './order-payments.js';
import { OrdersController } from './orders.controller.js';
import { OrdersService } from './orders.service.js';
import { PaymentsClient } from './payments.client.js';
import { ProductsController } from './products.controller.js';
import { ProductsService } from './products.service.js';
import { ReceiptsHandler } from './receipts.handler.js';

@Module({
  controllers: [ProductsController, OrdersController, DemoController],
  providers: [ProductsService, OrdersService, OrderBook, OrderPayments, PaymentsClient, ReceiptsHandler],
})
export class GatewayModule {}
