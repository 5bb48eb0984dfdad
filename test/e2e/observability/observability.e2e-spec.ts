import { Controller, Get, Module, Param } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import type { INestApplication } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { InjectMetric, makeCounterProvider } from '@willsoto/nestjs-prometheus';
import { MeshModule, MessageBroker } from 'nestjs-mesh';
import { PinoLogger } from 'nestjs-pino';
import { type Counter, register } from 'prom-client';
import { afterEach, describe, expect, it } from 'vitest';
import { captureLog } from './captured-log.fixture.js';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

@Controller('orders')
class Orders {
  constructor(
    private readonly broker: MessageBroker,
    private readonly log: PinoLogger,
    @InjectMetric('orders_read') private readonly read: Counter,
  ) {}

  @Get(':id')
  async one(@Param('id') id: string): Promise<unknown> {
    this.read.inc();
    this.log.info({ headers: { authorization: 'planted' } }, 'in the controller');
    return this.broker.request('stock.of', { id });
  }

  @Get(':id/price')
  price(@Param('id') id: string): Promise<unknown> {
    return this.broker.request('prices.of', { id });
  }
}

@Controller()
class Stock {
  constructor(private readonly log: PinoLogger) {}

  @MessagePattern('stock.of')
  async of({ id }: { id: string }): Promise<unknown> {
    await new Promise(setImmediate);
    this.log.info({ password: 'planted' }, 'in the handler');
    return { id, left: 3 };
  }
}

const adapters = { Express: () => new ExpressAdapter(), Fastify: () => new FastifyAdapter() };
let app: INestApplication | undefined;

async function start(platform: keyof typeof adapters) {
  const lines: string[] = [];
  @Module({
    imports: [MeshModule.forRoot({ service: { name: 'shop', instance: 'shop-1' } })],
    controllers: [Orders, Stock],
    providers: [makeCounterProvider({ name: 'orders_read', help: 'Orders read.' })],
  })
  class App {}
  const module = await captureLog(Test.createTestingModule({ imports: [App] }), lines).compile();
  app = module.createNestApplication<INestApplication>(adapters[platform]() as never);
  app.setGlobalPrefix('api');
  await app.listen(0, '127.0.0.1');
  const url = await app.getUrl();
  const json = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { app, url, lines, json };
}

afterEach(async () => {
  await app?.close();
  app = undefined;
  register.clear();
});

describe.each(['Express', 'Fastify'] as const)('what an application tells about itself on %s', (platform) => {
  it('ties every line of a request together, through the broker', async () => {
    const { url, json, lines } = await start(platform);
    const headers = { 'x-correlation-id': 'corr-1', traceparent: TRACEPARENT };
    const answer = await fetch(`${url}/api/orders/42?token=planted`, { headers });
    expect(await answer.json()).toEqual({ id: '42', left: 3 });

    await expect.poll(() => json().filter(({ correlationId }) => correlationId === 'corr-1').length).toBe(3);
    const own = json().filter(({ correlationId }) => correlationId === 'corr-1');
    expect(own.map(({ msg }) => msg)).toEqual([
      'in the controller',
      'in the handler',
      expect.stringMatching(/^GET \/api\/orders\/:id 200 in [\d.]+ ms$/),
    ]);
    for (const line of own)
      expect(line).toMatchObject({
        service: 'shop',
        instance: 'shop-1',
        traceId: '0af7651916cd43dd8448eb211c80319c',
      });
    expect(lines.join('')).not.toContain('planted');
  });

  it('says why a request was answered with an error of the mesh', async () => {
    const { url, json } = await start(platform);
    const { status } = await fetch(`${url}/api/orders/42/price`);
    await expect.poll(() => json().filter(({ event }) => event === 'http.request').length).toBe(1);
    expect(json().find(({ event }) => event === 'http.request')).toMatchObject({
      status,
      code: 'MESH_NO_RESPONDER',
      reason: expect.stringContaining('"prices.of"'),
      msg: expect.stringMatching(/^GET \/api\/orders\/:id\/price \d+ in [\d.]+ ms: MESH_NO_RESPONDER$/),
    });
  });

  it('keeps the lines of concurrent requests apart', async () => {
    const { url, json } = await start(platform);
    const ids = Array.from({ length: 30 }, (_, i) => `corr-${i}`);
    await Promise.all(
      ids.map(async (id) => {
        const answer = await fetch(`${url}/api/orders/${id}`, { headers: { 'x-correlation-id': id } });
        return answer.text();
      }),
    );
    for (const id of ids)
      await expect.poll(() => json().filter(({ correlationId }) => correlationId === id).length).toBe(3);
  });

  it('writes a line for each step of the lifecycle', async () => {
    const { app: running, json } = await start(platform);
    const phases = () => json().flatMap(({ event, phase }) => (event === 'lifecycle.phase' ? [phase] : []));
    expect(phases()).toContain('ready');
    expect(json().filter(({ event, step }) => event === 'lifecycle.step' && step === 'start').length).toBeGreaterThan(
      3,
    );
    await running.close();
    app = undefined;
    expect(phases()).toContain('stopped');
  });

  it('exposes its own metrics and those of @willsoto/nestjs-prometheus, by route template', async () => {
    const { url } = await start(platform);
    await (await fetch(`${url}/api/orders/42`)).text();
    await (await fetch(`${url}/api/nowhere/42`)).text();
    const scrape = async () => (await fetch(`${url}/metrics`)).text();
    await expect.poll(scrape).toContain('route="unmatched",status="4xx"} 1\n');
    const text = await scrape();
    expect(text).toContain(
      'mesh_http_request_duration_seconds_count{method="GET",route="/api/orders/:id",status="2xx"} 1\n',
    );
    expect(text).toContain('orders_read 1\n');
    expect(text).toContain('mesh_messages_total{topic="stock.of",direction="request",outcome="ok"} 1\n');
    expect(text).toContain('mesh_build_info{service="shop",service_instance="shop-1"');
    expect(text).not.toContain('nowhere');

    const open = await fetch(`${url}/metrics`, { headers: { accept: 'application/openmetrics-text; version=1.0.0' } });
    expect(open.headers.get('content-type')).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
    expect(await open.text()).toMatch(/# EOF\n$/);
  });
});
