import 'reflect-metadata';
import { BadRequestException, Controller, type INestApplicationContext, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { type Message, MessageBroker, MeshModule, type MeshOptions, Subscribe } from 'nestjs-mesh';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { natsIsHere, NatsServer } from './nats-server.js';

const received: { readonly payload: unknown; readonly attempt: number }[] = [];

@Controller()
class Stock {
  @MessagePattern('stock.reserve')
  reserve(@Payload() order: { readonly quantity: number }): { reserved: number } {
    if (order.quantity < 0) throw new BadRequestException('a quantity is positive');
    return { reserved: order.quantity };
  }
}

@Injectable()
class Receipts {
  @Subscribe('order.placed', { guarantee: 'atLeastOnce', backoffMs: [20] })
  onPlaced(payload: unknown, { attempt }: Message): void {
    received.push({ payload, attempt });
    if (attempt === 1) throw new Error('not yet');
  }
}

let server: NatsServer;
const apps: INestApplicationContext[] = [];

async function service(name: string, parts: object, broker: MeshOptions['broker']): Promise<MessageBroker> {
  @Module({ imports: [MeshModule.forRoot({ service: { name }, broker }, { logging: false })], ...parts })
  class App {}
  const app = await NestFactory.createApplicationContext(App, { logger: false, abortOnError: false });
  apps.push(app);
  return app.get(MessageBroker);
}

describe.skipIf(!natsIsHere)(`Nest over NATS${natsIsHere ? '' : ' (skipped: nats-server is not installed)'}`, () => {
  beforeAll(async () => {
    server = await NatsServer.start();
  });
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.close();
  });
  afterAll(() => server?.stop());

  it('lets one service ask another, and tells it what went wrong there', async () => {
    const broker = { transport: 'nats', servers: server.url } as const;
    const shop = await service('shop', {}, broker);
    await service('stock', { controllers: [Stock] }, broker);
    await shop.waitFor(['stock.reserve']);
    expect(await shop.request('stock.reserve', { quantity: 2 })).toEqual({ reserved: 2 });
    await expect(shop.request('stock.reserve', { quantity: -1 })).rejects.toMatchObject({
      code: 'HTTP_400',
      message: 'a quantity is positive',
      retryable: false,
      origin: 'stock',
    });
  });

  it('delivers stored events to a provider of another service, again after a failure', async () => {
    const broker = { transport: 'nats', servers: server.url } as const;
    const shop = await service('shop', {}, broker);
    await service('billing', { providers: [Receipts] }, broker);
    await shop.publish('order.placed', { id: 'o-1' }, { guarantee: 'confirmed' });
    await expect.poll(() => received, { timeout: 5_000 }).toHaveLength(2);
    expect(received).toEqual([
      { payload: { id: 'o-1' }, attempt: 1 },
      { payload: { id: 'o-1' }, attempt: 2 },
    ]);
  });

  it('does not start without its server', async () => {
    const broker = { transport: 'nats', servers: 'nats://127.0.0.1:1' } as const;
    const options = { service: { name: 'lost' }, broker, lifecycle: { start: { componentMs: 500 } } };
    @Module({ imports: [MeshModule.forRoot(options, { logging: false })] })
    class App {}
    await expect(NestFactory.createApplicationContext(App, { logger: false, abortOnError: false })).rejects.toThrow(
      /Component "broker"/,
    );
  }, 30_000);

  it('does not start when durable messages are asked of a server that stores none', async () => {
    const plain = await NatsServer.start({ jetstream: false });
    try {
      const broker = { transport: 'nats', servers: plain.url } as const;
      await expect(service('billing', { providers: [Receipts] }, broker)).rejects.toThrow(/start nats-server with -js/);
    } finally {
      await plain.stop();
    }
  }, 30_000);
});
