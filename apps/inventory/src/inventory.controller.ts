import { Controller } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { Subscribe, type SubscribeOptions } from 'nestjs-mesh';
import {
  inventory,
  type Product,
  type Reservation,
  type ReserveStock,
  type StockCount,
} from '../../contracts/src/inventory.contract.js';
import { type OrderCancelled, type OrderPaid, type OrderPlaced, orders } from '../../contracts/src/orders.contract.js';
import { StockService } from './stock.service.js';

/** Every order there has been, at each start: the shelves are counted from the log. */
const FROM_THE_LOG: SubscribeOptions = { group: false, guarantee: 'atLeastOnce', replay: true };

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

  @Subscribe(orders.placed, FROM_THE_LOG)
  onPlaced({ orderId, productId, quantity }: OrderPlaced): void {
    this.stock.take({ orderId, productId, quantity });
  }

  @Subscribe(orders.paid, FROM_THE_LOG)
  onPaid({ orderId }: OrderPaid): void {
    this.stock.sell(orderId);
  }

  @Subscribe(orders.cancelled, FROM_THE_LOG)
  onCancelled({ orderId }: OrderCancelled): void {
    this.stock.release(orderId);
  }
}
