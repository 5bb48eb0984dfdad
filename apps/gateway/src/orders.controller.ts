import { randomUUID } from 'node:crypto';
import {
  Body,
  Controller,
  Get,
  Headers,
  HttpException,
  HttpStatus,
  NotFoundException,
  Param,
  Post,
  Res,
  StandardSchemaValidationPipe,
  UsePipes,
} from '@nestjs/common';
import { z } from 'zod';
import type { Order } from './order-book.js';
import { OrdersService, type NewOrder } from './orders.service.js';

const newOrderSchema = z.strictObject({ productId: z.string().min(1), quantity: z.int().min(1).max(100) });

/** The part of a response that Express and Fastify share. */
interface StatusSetter {
  status(code: number): unknown;
}

@Controller('orders')
@UsePipes(new StandardSchemaValidationPipe())
export class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  /**
   * 201 when it is paid for, 202 when the payment has to wait. A customer who names the order and gets an error, or nothing,
   * can place it again without ordering twice.
   */
  @Post()
  async place(
    @Res({ passthrough: true }) response: StatusSetter,
    @Body({ schema: newOrderSchema }) body: NewOrder,
    @Headers('idempotency-key') id: string = randomUUID(),
  ): Promise<Order> {
    const order = await this.orders.place(id, body);
    if (order.status === 'cancelled')
      throw new HttpException(`The payment of ${id} was refused.`, HttpStatus.PAYMENT_REQUIRED);
    response.status(order.status === 'paid' ? HttpStatus.CREATED : HttpStatus.ACCEPTED);
    return order;
  }

  @Get(':id')
  get(@Param('id') id: string): Order {
    const order = this.orders.find(id);
    if (!order) throw new NotFoundException(`There is no order "${id}".`);
    return order;
  }
}
