import { Controller } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { Subscribe } from 'nestjs-mesh';
import {
  inventory,
  type Product,
  type Reservation,
  type ReserveStock,
  type StockCount,
} from '../../contracts/src/inventory.contract.js';
import { type OrderCancelled, type OrderPaid, orders } from '../../contracts/src/orders.contract.js';
import { StockService } from './stock.service.js';

/** Inventory's side of the broker: requests in Nest's own decorators, events with the guarantee that stock needs. */
@Controller()
export class InventoryController {
  constructor(private readonly stock: StockService) {}

  @MessagePattern(inventory.listProducts)
  list(): Product[] {
    return this.stock.list();
  }

  @MessagePattern(inventory.getProduct)
  get(@Payload('id') id: string): Product {
    return this.stock.get(id);
  }

  @MessagePattern(inventory.reserve)
  reserve(@Payload() request: ReserveStock): Reservation {
    return this.stock.reserve(request);
  }

  @MessagePattern(inventory.countStock)
  count(): StockCount[] {
    return this.stock.count();
  }

  @Subscribe(orders.paid, { guarantee: 'atLeastOnce' })
  onPaid({ orderId }: OrderPaid): void {
    this.stock.sell(orderId);
  }

  @Subscribe(orders.cancelled, { guarantee: 'atLeastOnce' })
  onCancelled({ orderId }: OrderCancelled): void {
    this.stock.release(orderId);
  }
}
