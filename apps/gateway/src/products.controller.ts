import { Controller, Get, Param } from '@nestjs/common';
import type { Product } from '../../contracts/src/inventory.contract.js';
import { ProductsService } from './products.service.js';

@Controller('products')
export class ProductsController {
  constructor(private readonly products: ProductsService) {}

  @Get()
  list(): Promise<Product[]> {
    return this.products.list();
  }

  @Get(':id')
  get(@Param('id') id: string): Promise<Product> {
    return this.products.get(id);
  }
}
