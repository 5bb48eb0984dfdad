import { Injectable } from '@nestjs/common';
import { Cacheable, MessageBroker } from 'nestjs-mesh';
import { inventory, type Product } from '../../contracts/src/inventory.contract.js';

/** The catalogue as the gateway sees it: read from inventory, and kept for half a minute. */
@Injectable()
export class ProductsService {
  constructor(private readonly broker: MessageBroker) {}

  @Cacheable({ ttlMs: 30_000 })
  list(): Promise<Product[]> {
    return this.broker.request(inventory.listProducts);
  }

  @Cacheable({ ttlMs: 30_000 })
  get(id: string): Promise<Product> {
    return this.broker.request(inventory.getProduct, { id });
  }
}
