import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Controller, Get, Module } from '@nestjs/common';
import { HttpAdapterHost, NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { describe, expect, it } from 'vitest';
import { routeTemplate } from './http-observer.port.js';

@Controller('orders')
class Orders {
  @Get(':id')
  one() {
    return 'ok';
  }
}

@Module({ controllers: [Orders] })
class App {
  readonly seen: (string | undefined)[] = [];
  constructor(host: HttpAdapterHost) {
    host.init$.subscribe(() => {
      const adapter = host.httpAdapter as unknown as {
        setOnRequestHook(hook: (request: object, response: object, done: () => void) => void): void;
      };
      adapter.setOnRequestHook((request, response, done) => {
        const raw = (response as { raw?: NodeJS.EventEmitter }).raw ?? (response as NodeJS.EventEmitter);
        raw.once('close', () => this.seen.push(routeTemplate(request)));
        done();
      });
    });
  }
}

const ADAPTERS = {
  Express: () => NestFactory.create<NestExpressApplication>(App, { logger: false }),
  Fastify: () => NestFactory.create<NestFastifyApplication>(App, new FastifyAdapter(), { logger: false }),
};

describe.each(['Express', 'Fastify'] as const)('routeTemplate on %s', (platform) => {
  it('is the template with the global prefix, and absent when nothing matched', async () => {
    const app = await ADAPTERS[platform]();
    app.setGlobalPrefix('api');
    await app.listen(0, '127.0.0.1');
    const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
    await fetch(`http://127.0.0.1:${port}/api/orders/42?a=1`).then((response) => response.text());
    await fetch(`http://127.0.0.1:${port}/nowhere/42`).then((response) => response.text());
    await fetch(`http://127.0.0.1:${port}/api/nowhere/42`).then((response) => response.text());
    await app.close();
    expect(app.get(App).seen).toEqual(['/api/orders/:id', undefined, undefined]);
  });
});
