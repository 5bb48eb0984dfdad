import 'reflect-metadata';
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  ForbiddenException,
  type INestApplicationContext,
  Injectable,
  Module,
  ParseIntPipe,
  UseGuards,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { MeshEvents, MeshModule, type MeshOptions, MessageBroker, Subscribe } from 'nestjs-mesh';
import { afterEach, describe, expect, it } from 'vitest';
import { freePort } from '../free-port.js';

@Injectable()
class OnlyTenants implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { headers } = context.switchToRpc().getContext<{ readonly headers: Readonly<Record<string, string>> }>();
    if (headers['tenant'] === undefined) throw new ForbiddenException('no tenant');
    return true;
  }
}

@Controller()
class Stock {
  @MessagePattern({ cmd: 'reserve' })
  @UseGuards(OnlyTenants)
  reserve(@Payload('quantity', ParseIntPipe) quantity: number): { reserved: number } {
    return { reserved: quantity };
  }
}

@Injectable()
class Ledger {
  @Subscribe('payment.settled', { guarantee: 'atLeastOnce' })
  book(): void {}
}

const host = '127.0.0.1';
const apps: INestApplicationContext[] = [];

async function service(
  name: string,
  parts: Partial<Record<'controllers' | 'providers', never[]>>,
  broker: MeshOptions['broker'],
): Promise<INestApplicationContext> {
  @Module({ imports: [MeshModule.forRoot({ service: { name }, broker }, { logging: false })], ...parts })
  class App {}
  const app = await NestFactory.createApplicationContext(App, { logger: false, abortOnError: false });
  apps.push(app);
  return app;
}

describe("services over Nest's TCP", () => {
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.close();
  });

  it('ask each other through guards and pipes, with nothing in main.ts', async () => {
    const port = await freePort();
    await service('stock', { controllers: [Stock] as never[] }, { transport: 'nest', server: { host, port } });
    const shop = (await service('shop', {}, { transport: 'nest', client: { host, port } })).get(MessageBroker);
    const pattern = { cmd: 'reserve' };
    const headers = { tenant: 'a' };
    expect(await shop.request(pattern, { quantity: '2' }, { headers })).toEqual({ reserved: 2 });
    await expect(shop.request(pattern, { quantity: '2' })).rejects.toMatchObject({ code: 'HTTP_403', origin: 'stock' });
    await expect(shop.request(pattern, { quantity: 'x' }, { headers })).rejects.toMatchObject({
      code: 'HTTP_400',
      retryable: false,
    });
  });

  it('do not start when a subscription asks for more than TCP can do', async () => {
    const port = await freePort();
    const started = service(
      'billing',
      { providers: [Ledger] as never[] },
      { transport: 'nest', server: { host, port } },
    );
    await expect(started).rejects.toMatchObject({ code: 'MESH_CAPABILITY_MISSING' });
  });

  it('do not start when they have handlers and no port', async () => {
    const port = await freePort();
    await service('stock', { controllers: [Stock] as never[] }, { transport: 'nest', server: { host, port } });
    const started = service('shop', { controllers: [Stock] as never[] }, { transport: 'nest', client: { host, port } });
    await expect(started).rejects.toThrow(/cannot bring in requests of .*broker\.server/);
  });

  it('are told that deletions from the cache stay in their instance', async () => {
    const warnings: string[] = [];
    @Module({})
    class Listening {
      constructor(events: MeshEvents) {
        events.on('lifecycle.warning', ({ message }) => void warnings.push(message));
      }
    }
    const broker = { transport: 'nest' as const, server: { host, port: await freePort() } };
    @Module({ imports: [MeshModule.forRoot({ service: { name: 'shop' }, broker }, { logging: false }), Listening] })
    class App {}
    apps.push(await NestFactory.createApplicationContext(App, { logger: false, abortOnError: false }));
    expect(warnings.join('\n')).toMatch(/cache stay in this instance/);
  });
});
