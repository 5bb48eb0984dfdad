import { Controller } from '@nestjs/common';
import { EventPattern, MessagePattern, Payload } from '@nestjs/microservices';
import {
  inventory,
  type Product,
  type Reservation,
  type ReserveStock,
} from '../../contracts/src/inventory.contract.js';
import { orders, type OrderPlaced } from '../../contracts/src/orders.contract.js';
import { StockService } from './stock.service.js';

/** Inventory's side of the broker, in Nest's own decorators. */
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

  @MessagePattern(inventory.release)
  release(@Payload('orderId') orderId: string): void {
    this.stock.release(orderId);
  }

  @EventPattern(orders.placed)
  onOrderPlaced(@Payload() event: OrderPlaced): void {
    this.stock.confirm(event.orderId);
  }
}
