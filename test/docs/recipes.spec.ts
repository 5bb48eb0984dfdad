import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { Module, type DynamicModule, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import type { Worker } from 'bullmq';
import { ServiceMesh } from 'nestjs-mesh';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { snippetsOf } from './snippets.js';

const folder = resolve('test/docs/.recipes');

/** A queue of one job at a time, in place of BullMQ's: the recipe's worker takes from it what the test hands in. */
const { queue } = vi.hoisted(() => ({ queue: { run: undefined as unknown, calls: [] as string[] } }));
vi.mock('bullmq', () => ({
  Worker: class implements Pick<Worker, 'waitUntilReady' | 'pause' | 'close'> {
    constructor(_name: string, processor: unknown) {
      queue.run = processor;
    }
    async waitUntilReady(): Promise<void> {
      queue.calls.push('ready');
    }
    async pause(): Promise<void> {
      queue.calls.push('paused');
    }
    async close(): Promise<void> {
      queue.calls.push('closed');
    }
  },
}));

async function recipe<T>(file: string): Promise<T> {
  return (await import(join(folder, file))) as T;
}

async function boot(module: DynamicModule) {
  const { mesh } = await recipe<{ mesh: DynamicModule }>('src/mesh.ts');
  const App = class {};
  Module({ imports: [mesh, module] })(App);
  return NestFactory.createApplicationContext(App, { logger: false });
}

const provided = (provider: Type, imports: DynamicModule[] = []): DynamicModule => ({
  module: class {},
  providers: [provider],
  imports,
});

beforeAll(() => {
  vi.stubEnv('MESH_LOGGING__LEVEL', 'silent');
  rmSync(folder, { recursive: true, force: true });
  for (const { file, code } of snippetsOf('docs/recipes.md')) {
    mkdirSync(dirname(join(folder, file!)), { recursive: true });
    writeFileSync(join(folder, file!), code);
  }
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('the recipes', () => {
  it('call an upstream through undici, repeat what failed there, and take a 404 as its answer', async () => {
    const asked: string[] = [];
    const catalog: Server = createServer((request, response) => {
      asked.push(request.url!);
      response.statusCode = request.url === '/products/none' ? 404 : asked.length === 1 ? 503 : 200;
      response.end(JSON.stringify({ name: 'lamp' }));
    }).listen(0, '127.0.0.1');
    await new Promise((listening) => catalog.once('listening', listening));
    vi.stubEnv('CATALOG_URL', `http://127.0.0.1:${(catalog.address() as AddressInfo).port}`);
    const { CatalogClient } = await recipe<{ CatalogClient: Type<{ product(id: string): Promise<unknown> }> }>(
      'src/catalog.client.ts',
    );
    const app = await boot(provided(CatalogClient));

    expect(await app.get(CatalogClient).product('1')).toEqual({ name: 'lamp' });
    await expect(app.get(CatalogClient).product('none')).rejects.toMatchObject({ statusCode: 404 });
    expect(asked).toEqual(['/products/1', '/products/1', '/products/none']);

    await app.close();
    await new Promise((closed) => catalog.close(closed));
  });

  it('put the client of an SDK under a policy', async () => {
    type Sdk = Type<{ retrieve(id: string): Promise<unknown> }>;
    const { PaymentsModule, PaymentsSdk } = await recipe<{ PaymentsModule: Type; PaymentsSdk: Sdk }>('src/payments.ts');
    const app = await boot({ module: PaymentsModule });
    const sdk = app.get(PaymentsSdk, { strict: false });

    expect(await sdk.retrieve('7')).toEqual({ id: '7' });
    const { breakers } = app.get(ServiceMesh);
    breakers.breaker('payments').isolate({ reason: 'test' });
    await expect(sdk.retrieve('7')).rejects.toMatchObject({ code: 'MESH_CIRCUIT_ISOLATED' });
    await app.close();
  });

  it('go on with the next report when one fails', async () => {
    const { Reports } = await recipe<{ Reports: Type<{ send(account: string): Promise<void> }> }>('src/reports.ts');
    const app = await boot(provided(Reports, [ScheduleModule.forRoot()]));
    const sent: string[] = [];
    vi.stubGlobal('fetch', async (_url: string, { body }: { body: string }) => {
      sent.push(body);
      throw new Error('the mailer is away');
    });

    void app.get(SchedulerRegistry).getCronJob('reports').fireOnTick();
    await app.close(); // waits for the run
    expect(sent).toEqual(['a', 'b']);
    vi.unstubAllGlobals();
  });

  it('take no job from the start of the shutdown on, and wait for the one that runs', async () => {
    const { InvoicesWorker } = await recipe<{ InvoicesWorker: Type<{ write(orderId: string): Promise<void> }> }>(
      'src/invoices.worker.ts',
    );
    const app = await boot(provided(InvoicesWorker));
    const worker = app.get(InvoicesWorker);
    const written = Promise.withResolvers<void>();
    worker.write = async (orderId) => {
      await written.promise;
      queue.calls.push(`wrote ${orderId}`);
    };

    const job = (queue.run as (job: object) => Promise<void>)({ data: { orderId: '7' } });
    app.get(ServiceMesh).events.on('lifecycle.phase', ({ phase }) => void (phase === 'draining' && written.resolve()));
    await Promise.all([app.close(), job]);
    expect(queue.calls).toEqual(['ready', 'paused', 'wrote 7', 'closed']);
  });
});
