import type { INestApplication } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
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
    vi.stubEnv('MESH_LOGGING__LEVEL', 'silent');
    const module = await Test.createTestingModule({ imports: [ShopModule] }).compile();
    app = module.createNestApplication<NestFastifyApplication>(createAdapter(), { logger: false });
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  });
  afterAll(async () => {
    await app.close();
    vi.unstubAllEnvs();
  });

  it('lists the products and shows one', async () => {
    const list = await call('GET', '/products');
    expect(list.status).toBe(200);
    expect(list.body).toContainEqual(expect.objectContaining({ id: 'espresso', name: expect.any(String) }));

    expect((await call('GET', '/products/kettle')).body).toMatchObject({ id: 'kettle' });
    expect((await call('GET', '/products/unicorn')).status).toBe(404);
  });

  it('reads a product from inventory once and then from the cache', async () => {
    const get = vi.spyOn(app.get(StockService), 'get');
    await call('GET', '/products/grinder');
    await call('GET', '/products/grinder');
    expect(get).toHaveBeenCalledTimes(1);
    get.mockRestore();
  });

  it('takes an order, charges for it and tells inventory and the receipts handler', async () => {
    const placed = await order('espresso', 2);
    expect(placed.status).toBe(201);
    expect(placed.body).toMatchObject({ status: 'paid', amountCents: 3_780, paymentId: expect.any(String) });

    const id = placed.body['id'] as string;
    expect((await call('GET', `/orders/${id}`)).body).toEqual(placed.body);
    await vi.waitFor(() => expect(app.get(ReceiptsHandler).hasReceipt(id)).toBe(true));
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

  it(
    'accepts orders with pending payment while the provider fails, and charges them once it is back',
    { timeout: 30_000 },
    async () => {
      const chargedBefore = app.get(ProviderStub).charged;
      await call('PUT', '/demo/provider', { failureRatio: 1, latencyMs: 0 });
      const pending: string[] = [];
      await vi.waitFor(
        async () => {
          const answer = await order('kettle');
          expect(answer.status).toBe(202);
          expect(answer.body).toMatchObject({ status: 'payment-pending' });
          pending.push(answer.body['id'] as string);
          const ready = await call('GET', '/health/ready');
          expect(ready.status).toBe(200);
          expect(ready.body['status']).toBe('degraded');
        },
        { timeout: 10_000, interval: 10 },
      );

      const startedAt = performance.now();
      const whileOpen = await order('kettle');
      expect(whileOpen.status).toBe(202);
      expect(performance.now() - startedAt).toBeLessThan(500);
      pending.push(whileOpen.body['id'] as string);
      expect((await call('GET', '/metrics')).body['text']).toMatch(
        /mesh_breaker_state\{.*policy="payments.charge".*\} [1-9]/,
      );

      await call('PUT', '/demo/provider', { failureRatio: 0, latencyMs: 0 });
      await vi.waitFor(
        async () => {
          for (const id of pending) expect((await call('GET', `/orders/${id}`)).body['status']).toBe('paid');
          expect((await call('GET', '/health/ready')).body['status']).toBe('ok');
        },
        { timeout: 15_000, interval: 100 },
      );
      expect(app.get(ProviderStub).charged - chargedBefore).toBe(pending.length);
    },
  );

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
