import type { INestApplication } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { MeshTestingModule, MeshTestKit } from 'nestjs-mesh/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { inventory } from '../../apps/contracts/src/inventory.contract.js';
import { orders } from '../../apps/contracts/src/orders.contract.js';
import { ReceiptsHandler } from '../../apps/gateway/src/receipts.handler.js';
import { StockService } from '../../apps/inventory/src/stock.service.js';
import { ProviderStub } from '../../apps/payments/src/provider.stub.js';
import { ShopModule } from '../../apps/shop/src/shop.module.js';

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

const platforms = { Express: () => new ExpressAdapter(), Fastify: () => new FastifyAdapter() };

describe.each(Object.entries(platforms))('the demo shop on %s', (_name, createAdapter) => {
  let app: INestApplication;
  let kit: MeshTestKit;
  let url: string;

  async function call(method: string, path: string, body?: unknown): Promise<Answer> {
    const response = await fetch(url + path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: text.startsWith('{') || text.startsWith('[') ? JSON.parse(text) : { text },
    };
  }

  const order = (productId = 'espresso', quantity = 1) => call('POST', '/orders', { productId, quantity });

  beforeAll(async () => {
    const module = await MeshTestingModule.createTestingModule({ imports: [ShopModule] }).compile();
    app = module.createNestApplication<NestFastifyApplication>(createAdapter(), { logger: false });
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
    kit = app.get(MeshTestKit);
  });
  beforeEach(() => kit.reset());
  afterAll(async () => {
    await app.close();
    await kit.expectQuiet();
  });

  it('lists the products and shows one', async () => {
    const list = await call('GET', '/products');
    expect(list.status).toBe(200);
    expect(list.body).toContainEqual(expect.objectContaining({ id: 'espresso', name: expect.any(String) }));

    expect((await call('GET', '/products/kettle')).body).toMatchObject({ id: 'kettle' });
    expect((await call('GET', '/products/unicorn')).status).toBe(404);
  });

  it('reads a product from inventory once and then from the cache', async () => {
    await call('GET', '/products/grinder');
    await call('GET', '/products/grinder');
    expect(kit.messages.requested(inventory.getProduct)).toEqual([
      expect.objectContaining({ payload: { id: 'grinder' } }),
    ]);
    await kit.cache.expectHits(1);

    await kit.clock.advance(31_000);
    await call('GET', '/products/grinder');
    await vi.waitFor(() => expect(kit.messages.requested(inventory.getProduct)).toHaveLength(2));
  });

  it('takes an order, charges for it and tells inventory and the receipts handler', async () => {
    const receipt = vi.spyOn(app.get(ReceiptsHandler), 'onPlaced');
    const placed = await order('espresso', 2);
    expect(placed.status).toBe(201);
    expect(placed.body).toMatchObject({ status: 'paid', amountCents: 3_780, paymentId: expect.any(String) });

    const id = placed.body['id'] as string;
    expect((await call('GET', `/orders/${id}`)).body).toEqual(placed.body);
    kit.messages.expectRequested(inventory.reserve, { orderId: id, productId: 'espresso', quantity: 2 });
    await vi.waitFor(() => {
      kit.messages.expectPublished(orders.placed, { orderId: id, amountCents: 3_780 });
      kit.messages.expectPublished(orders.paid, { orderId: id, paymentId: placed.body['paymentId'] });
    });
    await vi.waitFor(() =>
      expect(receipt).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ orderId: id }), expect.anything()),
    );
    receipt.mockRestore();
  });

  it('names the field of a bad body', async () => {
    const wrongQuantity = await order('espresso', 0);
    expect(wrongQuantity.status).toBe(400);
    expect(JSON.stringify(wrongQuantity.body)).toContain('quantity');
    expect((await call('POST', '/orders', { quantity: 1 })).status).toBe(400);
    expect((await call('PUT', '/demo/provider', { failureRatio: 2 })).status).toBe(400);
  });

  it('refuses what inventory does not have', async () => {
    expect((await order('unicorn')).status).toBe(404);
    const before = app.get(StockService).onHand('grinder');
    for (let left = before; left > 0; left -= 100) await order('grinder', Math.min(left, 100));
    expect((await order('grinder')).status).toBe(409);
  });

  it('answers 404 for an order that does not exist', async () => {
    expect((await call('GET', '/orders/none')).status).toBe(404);
  });

  it('writes one receipt for an order that is told of twice', async () => {
    const write = vi.spyOn(app.get(ReceiptsHandler), 'onPlaced');
    kit.messages.duplicate(orders.placed, { times: 1 });
    await order();
    // The second copy finds the first at work and comes again when the claim of that one is over.
    kit.clock.run(200);
    await vi.waitFor(() => kit.expectQuiet(), { timeout: 5_000 });
    kit.clock.stop();
    expect(write).toHaveBeenCalledTimes(1);
    write.mockRestore();
  });

  it('accepts orders with pending payment while payments fail, and charges them once they are back', async () => {
    const breaker = kit.breaker('payments.charge');
    const chargedBefore = app.get(ProviderStub).account.charges;
    const pending: string[] = [];
    const accept = async (): Promise<void> => {
      const answer = await order('kettle');
      expect(answer.status).toBe(202);
      expect(answer.body).toMatchObject({ status: 'payment-pending' });
      pending.push(answer.body['id'] as string);
    };
    kit.policy('payments.charge').fails();
    // For the delays between the attempts of calls that come over a socket.
    kit.clock.run();
    while (breaker.state !== 'open') await accept();
    kit.clock.stop();
    expect(pending.length).toBeLessThanOrEqual(4);
    const ready = await call('GET', '/health/ready');
    expect(ready.status).toBe(200);
    expect(ready.body['status']).toBe('ok');

    // With the circuit open nobody waits for anything: the clock stands still.
    await accept();
    await kit.metrics.expectValue('mesh_breaker_state', { policy: 'payments.charge', state: 'open' }, 1);

    kit.policy('payments.charge').restore();
    await vi.waitFor(
      async () => {
        await kit.clock.advance(100);
        for (const id of pending) expect((await call('GET', `/orders/${id}`)).body['status']).toBe('paid');
        breaker.expectState('closed');
      },
      { timeout: 8_000, interval: 10 },
    );
    expect(breaker.transitions).toEqual(expect.arrayContaining(['closed -> open', 'half-open -> closed']));
    expect((await call('GET', '/health/ready')).body['status']).toBe('ok');
    expect(app.get(ProviderStub).account.charges - chargedBefore).toBe(pending.length);
  });

  it('lets the payment provider fail by its knob', async () => {
    await call('PUT', '/demo/provider', { failureRatio: 1, latencyMs: 0 });
    kit.clock.run();
    expect((await order('kettle')).status).toBe(202);
    await call('PUT', '/demo/provider', { failureRatio: 0, latencyMs: 0 });
    await vi.waitFor(async () => expect((await order('kettle')).status).toBe(201), { timeout: 5_000 });
    await vi.waitFor(() => kit.expectQuiet(), { timeout: 5_000 });
    kit.clock.stop();
  });

  it('answers its probes', async () => {
    for (const probe of ['live', 'ready', 'startup']) {
      const answer = await call('GET', `/health/${probe}`);
      expect(answer.status).toBe(200);
      expect(answer.body).toMatchObject({ status: 'ok' });
    }
  });

  it('exposes breaker, cache, broker and lifecycle metrics', async () => {
    const { status, body } = await call('GET', '/metrics');
    expect(status).toBe(200);
    for (const name of [
      'mesh_breaker_state',
      'mesh_cache_requests_total',
      'mesh_messages_total',
      'mesh_component_step_duration_seconds',
    ]) {
      expect(body['text']).toContain(`# TYPE ${name} `);
    }
  });
});
