import { Controller, HttpException, type INestApplication } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { MeshModule, Subscribe } from 'nestjs-mesh';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { inventory, type Reservation, type ReserveStock } from '../../apps/contracts/src/inventory.contract.js';
import { type OrderCancelled, type OrderPaid, orders } from '../../apps/contracts/src/orders.contract.js';
import { type Charge, payments, type Receipt } from '../../apps/contracts/src/payments.contract.js';
import { GatewayModule } from '../../apps/gateway/src/gateway.module.js';

/** Inventory and payments that fail when they are told to, after they have done their work. */
@Controller()
class Others {
  reserveFails: HttpException | undefined;
  chargeFails: HttpException | undefined;
  readonly charged: string[] = [];
  readonly reserved: string[] = [];
  readonly paid: string[] = [];
  readonly cancelled: string[] = [];

  @MessagePattern(inventory.reserve)
  reserve(@Payload() { orderId, productId, quantity }: ReserveStock): Reservation {
    this.reserved.push(orderId);
    if (this.reserveFails) throw this.reserveFails;
    return { orderId, quantity, product: { id: productId, name: productId, priceCents: 100 } };
  }

  @MessagePattern(payments.charge)
  charge(@Payload() { orderId, amountCents }: Charge): Receipt {
    this.charged.push(orderId);
    if (this.chargeFails) throw this.chargeFails;
    return { orderId, amountCents, paymentId: `payment of ${orderId}` };
  }

  @Subscribe(orders.paid)
  onPaid({ orderId }: OrderPaid): void {
    this.paid.push(orderId);
  }

  @Subscribe(orders.cancelled)
  onCancelled({ orderId }: OrderCancelled): void {
    this.cancelled.push(orderId);
  }
}

describe('the gateway of the demo, when it does not learn what became of a request', () => {
  let app: INestApplication;
  let others: Others;

  const order = async () => {
    const response = await fetch(`${await app.getUrl()}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ productId: 'kettle', quantity: 2 }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const stored = async (id: string) => (await fetch(`${await app.getUrl()}/orders/${id}`)).json();
  /** Long enough for events that must not come. */
  const nothingMore = () => new Promise((resolve) => setTimeout(resolve, 400));

  beforeEach(async () => {
    vi.stubEnv('MESH_LOGGING__LEVEL', 'silent');
    const policies = { 'payments.charge': { retry: false } as const };
    const mesh = MeshModule.forRoot({ service: { name: 'gateway' }, resilience: { policies } });
    const module = await Test.createTestingModule({ imports: [mesh, GatewayModule], controllers: [Others] }).compile();
    app = module.createNestApplication({ logger: false });
    await app.listen(0, '127.0.0.1');
    others = app.get(Others);
  });
  afterEach(async () => {
    await app.close();
    vi.unstubAllEnvs();
  });

  it('keeps the order and charges for it later when the charge failed without a refusal', async () => {
    others.chargeFails = new HttpException('the provider broke down', 502);
    const { status, body } = await order();
    expect(status).toBe(202);
    expect(body).toMatchObject({ status: 'payment-pending' });
    const id = body['id'] as string;

    others.chargeFails = undefined;
    await vi.waitFor(() => expect(others.paid).toEqual([id]), { timeout: 5_000 });
    expect(await stored(id)).toMatchObject({ status: 'paid', paymentId: `payment of ${id}` });
    expect(others.charged).toEqual([id, id]);
    expect(others.cancelled).toEqual([]);
  });

  it('cancels the order when the charge is refused', async () => {
    others.chargeFails = new HttpException('no credit', 402);
    expect((await order()).status).toBe(402);
    const id = others.reserved[0]!;
    await vi.waitFor(() => expect(others.cancelled).toEqual([id]));
    expect(await stored(id)).toMatchObject({ status: 'cancelled' });
    await nothingMore();
    expect(others.charged).toEqual([id]);
  });

  it('leaves a reservation that may have been made to inventory, which puts it back without an order', async () => {
    others.reserveFails = new HttpException('inventory broke down', 500);
    expect((await order()).status).toBe(500);
    await nothingMore();
    expect(others.reserved).toHaveLength(1);
    expect(others.charged).toEqual([]);
    expect((await fetch(`${await app.getUrl()}/orders/${others.reserved[0]!}`)).status).toBe(404);
  });

  it('places and charges an order once that its customer places again under the same key', async () => {
    const again = async () => {
      const response = await fetch(`${await app.getUrl()}/orders`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': 'mine' },
        body: JSON.stringify({ productId: 'kettle', quantity: 2 }),
      });
      return (await response.json()) as Record<string, unknown>;
    };
    const first = await again();
    expect(first).toMatchObject({ id: 'mine', status: 'paid' });
    expect(await again()).toEqual(first);
    expect(others.charged).toEqual(['mine']);
  });

  it('has nothing to cancel when the reservation is refused', async () => {
    others.reserveFails = new HttpException('sold out', 409);
    expect((await order()).status).toBe(409);
    await nothingMore();
    expect(others.cancelled).toEqual([]);
  });
});
