import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Controller, Get, Inject, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { InjectMetric, makeCounterProvider, PrometheusModule } from '@willsoto/nestjs-prometheus';
import { type Counter, register } from 'prom-client';
import { afterEach, describe, expect, it } from 'vitest';
import { SystemClock } from '../core/clock.js';
import { fixedOptions } from '../core/live-options.js';
import { MeshEvents } from '../core/mesh.events.js';
import { ForeignReader } from './foreign.reader.js';
import { metricsSchema } from './metrics.options.js';
import { prometheusModule } from './nestjs-prometheus.adapter.js';
import { DefaultRegistry } from './prom-client.adapter.js';
import { PrometheusMetrics } from './prometheus.metrics.js';

@Controller('orders')
class Orders {
  constructor(@InjectMetric('orders_placed') readonly placed: Counter) {}
  @Get()
  place() {
    this.placed.inc();
    return 'ok';
  }
}

function appModule(imports: NonNullable<Parameters<typeof Module>[0]['imports']>) {
  @Module({
    imports: [prometheusModule(), ...imports],
    controllers: [Orders],
    providers: [makeCounterProvider({ name: 'orders_placed', help: 'Orders.' }), { provide: 'X', useValue: 1 }],
  })
  class App {
    constructor(@Inject('X') readonly x: number) {}
  }
  return App;
}

const ADAPTERS = {
  Express: (module: object) => NestFactory.create<NestExpressApplication>(module as never, { logger: false }),
  Fastify: (module: object) =>
    NestFactory.create<NestFastifyApplication>(module as never, new FastifyAdapter(), { logger: false }),
};

async function listen(create: (typeof ADAPTERS)['Express' | 'Fastify'], module: object) {
  const app = await create(module);
  await app.listen(0, '127.0.0.1');
  const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return { status: response.status, text: await response.text() };
  };
  return { app, get };
}

const exposed = async () => {
  const options = fixedOptions(metricsSchema.parse({}));
  const foreign = new ForeignReader(new DefaultRegistry(), new SystemClock());
  return (await new PrometheusMetrics(options, new MeshEvents(), foreign).expose()).body;
};

describe.each(['Express', 'Fastify'] as const)('prometheusModule on %s', (platform) => {
  afterEach(() => register.clear());

  it('adds no route and no default metrics, and exposes what the user counts', async () => {
    const { app, get } = await listen(ADAPTERS[platform], appModule([]));
    await get('/orders');
    expect((await get('/metrics')).status).toBe(404);
    const body = await exposed();
    expect(body).toContain('orders_placed 1\n');
    expect(body).not.toContain('process_cpu');
    await app.close();
  });

  it("lives beside the host's own module, whose route and path stay as they are", async () => {
    const host = PrometheusModule.register({ path: '/host-metrics' });
    const { app, get } = await listen(ADAPTERS[platform], appModule([host]));
    await get('/orders');
    const answer = await get('/host-metrics');
    expect(answer.status).toBe(200);
    expect(answer.text).toContain('orders_placed 1\n');
    expect(await exposed()).toContain('process_cpu_user_seconds_total');
    await app.close();
  });

  it('serves two applications of one process', async () => {
    const first = await listen(ADAPTERS[platform], appModule([]));
    const second = await listen(ADAPTERS[platform], appModule([]));
    await first.get('/orders');
    await second.get('/orders');
    expect(await exposed()).toContain('orders_placed 2\n');
    await first.app.close();
    await second.app.close();
  });
});
