import { Agent, get, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Controller, Get, Module, Sse, type INestApplication, type INestMicroservice, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ClientProxy, ClientProxyFactory, MessagePattern, Transport } from '@nestjs/microservices';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { CallContexts, MeshModule, MessageBroker, ServiceMesh } from 'nestjs-mesh';
import { interval, lastValueFrom, map } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';

/** Handlers that run until the test opens the gate. */
class Gate {
  readonly entered = Promise.withResolvers<void>();
  readonly open = Promise.withResolvers<void>();

  async pass(): Promise<void> {
    this.entered.resolve();
    await this.open.promise;
  }
}

/** More than the buffers of a socket hold. */
const LARGE = 30_000_000;

function application(gate: Gate, lifecycle: object = {}): Type {
  @Controller()
  class Work {
    constructor(private readonly contexts: CallContexts) {}

    @Get('slow')
    async slow(): Promise<object> {
      await gate.pass();
      return { done: true };
    }

    @Get('large')
    large(): string {
      return 'x'.repeat(LARGE);
    }

    @Sse('ticks')
    ticks() {
      return interval(5).pipe(map((tick) => ({ data: String(tick) })));
    }

    @MessagePattern('slow')
    async slowRequest(): Promise<string> {
      await gate.pass();
      return 'done';
    }

    @MessagePattern('context')
    context(): unknown {
      return this.contexts.current();
    }
  }

  @Module({
    imports: [MeshModule.forRoot({ service: { name: 'drain' }, logging: { level: 'silent' }, lifecycle })],
    controllers: [Work],
  })
  class AppModule {}
  return AppModule;
}

const adapters = { express: () => new ExpressAdapter(), fastify: () => new FastifyAdapter() };
let cleanup: (() => Promise<unknown> | void)[] = [];

afterEach(async () => {
  for (const step of cleanup.toReversed()) await step();
  cleanup = [];
});

async function http(module: Type, platform: keyof typeof adapters): Promise<INestApplication> {
  const app = await NestFactory.create(module, adapters[platform](), { logger: false });
  cleanup.push(() => app.close());
  return app;
}

function portOf(server: Pick<Server, 'address'>): number {
  return (server.address() as AddressInfo).port;
}

function tcpClient(port: number): ClientProxy {
  const client = ClientProxyFactory.create({ transport: Transport.TCP, options: { port, host: '127.0.0.1' } });
  cleanup.push(() => client.close());
  return client;
}

function open(port: number, path: string, agent: Agent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => get({ port, path, agent, host: '127.0.0.1' }, resolve).on('error', reject));
}

/** Asks until it is refused. */
async function firstRefusal(client: ClientProxy): Promise<unknown> {
  for (;;) {
    try {
      await lastValueFrom(client.send('context', {}));
    } catch (error) {
      return error;
    }
  }
}

async function text(response: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of response) body += String(chunk);
  return body;
}

describe.each(['express', 'fastify'] as const)('app.close() on %s, without enableMeshShutdown', (platform) => {
  it('lets a request finish, and waits neither for kept-alive connections nor for an event stream', async () => {
    const gate = new Gate();
    const app = await http(application(gate), platform);
    await app.listen(0, '127.0.0.1');
    const port = portOf(app.getHttpServer() as Server);
    const agent = new Agent({ keepAlive: true });
    cleanup.push(() => agent.destroy());
    await text(await open(port, '/health/live', agent));
    const stream = text(await open(port, '/ticks', agent));
    const slow = open(port, '/slow', agent).then(text);
    await gate.entered.promise;
    const closing = app.close();
    const closedAt = performance.now();
    gate.open.resolve();
    expect(await slow).toBe('{"done":true}');
    await stream;
    await closing;
    // Nest alone waits for the keep-alive timeout, 5 s on Express and 72 s on Fastify, and for ever for the stream.
    expect(performance.now() - closedAt).toBeLessThan(2_000);
  });

  it('lets a client that reads slowly have all of its response', async () => {
    const app = await http(application(new Gate()), platform);
    await app.listen(0, '127.0.0.1');
    const agent = new Agent({ keepAlive: true });
    cleanup.push(() => agent.destroy());
    const response = await open(portOf(app.getHttpServer() as Server), '/large', agent);
    const intakeOver = new Promise<void>((resolve) => {
      app.get(ServiceMesh).events.on('lifecycle.shutdown-phase', ({ phase }) => void (phase === 'intake' && resolve()));
    });
    const closing = app.close();
    await intakeOver;
    expect((await text(response)).length).toBe(LARGE);
    await closing;
  });

  it('closes the connection of a request that does not finish in time', async () => {
    const gate = new Gate();
    const limits = { shutdown: { intakeMs: 10, drainMs: 50, hurriedDrainMs: 10, abortMs: 20 } };
    const app = await http(application(gate, limits), platform);
    await app.listen(0, '127.0.0.1');
    const agent = new Agent({ keepAlive: true });
    cleanup.push(() => agent.destroy());
    const slow = open(portOf(app.getHttpServer() as Server), '/slow', agent);
    slow.catch(() => undefined);
    await gate.entered.promise;
    const { abortSignal } = app.get(ServiceMesh).lifecycle;
    await app.close();
    expect(abortSignal.aborted).toBe(true);
    await expect(slow).rejects.toThrow();
    gate.open.resolve();
  });
});

describe("Nest's TCP transport", () => {
  async function hybrid(gate: Gate): Promise<{ app: INestApplication; port: number }> {
    const app = await http(application(gate), 'express');
    const service = app.connectMicroservice<{ transport: Transport.TCP; options: object }>(
      { transport: Transport.TCP, options: { port: 0, host: '127.0.0.1' } },
      { inheritAppConfig: true },
    );
    await app.startAllMicroservices();
    await app.listen(0, '127.0.0.1');
    return { app, port: portOf(service.unwrap<Server>()) };
  }

  async function pure(gate: Gate): Promise<{ app: INestMicroservice; port: number }> {
    const app = await NestFactory.createMicroservice(application(gate), {
      transport: Transport.TCP,
      options: { port: 0, host: '127.0.0.1' },
      logger: false,
    });
    await app.listen();
    return { app, port: portOf(app.unwrap<Server>()) };
  }

  it.each([
    ['a hybrid application', hybrid],
    ['a microservice', pure],
  ])(
    'of %s: the handler that runs finishes and its caller gets the reply; a new request is told to go elsewhere',
    async (_, boot) => {
      const gate = new Gate();
      const { app, port } = await boot(gate);
      const client = tcpClient(port);
      const running = lastValueFrom(client.send<string>('slow', {}));
      running.catch(() => undefined);
      await gate.entered.promise;
      const closing = app.close();
      const refusal = await firstRefusal(client);
      gate.open.resolve();
      expect(refusal).toMatchObject({ code: 'MESH_DRAINING', retryable: true, retryAfterMs: 1_000 });
      expect(await running).toBe('done');
      await closing;
    },
  );

  it('opens a call context for each message', async () => {
    const gate = new Gate();
    const { app, port } = await hybrid(gate);
    cleanup.push(() => app.close());
    const client = tcpClient(port);
    const contexts = await Promise.all(
      [1, 2].map(() => lastValueFrom(client.send<{ correlationId: string }>('context', {}))),
    );
    expect(new Set(contexts.map(({ correlationId }) => correlationId)).size).toBe(2);
  });
});

describe('The in-process broker', () => {
  it('finishes a request that runs while the application closes', async () => {
    const gate = new Gate();
    const app = await http(application(gate), 'express');
    await app.init();
    const running = app.get(MessageBroker).request('slow');
    await gate.entered.promise;
    const closing = app.close();
    gate.open.resolve();
    expect(await running).toBe('done');
    await closing;
  });
});

describe('Two applications in one process', () => {
  it('start, serve and stop apart from each other', async () => {
    const [first, second] = await Promise.all([
      http(application(new Gate()), 'express'),
      http(application(new Gate()), 'fastify'),
    ]);
    await Promise.all([first.listen(0, '127.0.0.1'), second.listen(0, '127.0.0.1')]);
    const ready = async (app: INestApplication) => (await fetch(`${await app.getUrl()}/health/ready`)).status;
    expect([await ready(first), await ready(second)]).toEqual([200, 200]);
    await first.close();
    expect(first.get(ServiceMesh).lifecycle.phase).toBe('stopped');
    expect(second.get(ServiceMesh).lifecycle.phase).toBe('ready');
    expect(await ready(second)).toBe(200);
  });
});
