import 'reflect-metadata';
import { writeSync } from 'node:fs';
import type { AddressInfo, Server } from 'node:net';

import {
  Controller,
  Get,
  Inject,
  Injectable,
  Module,
  Query,
  Sse,
  type INestApplication,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventPattern, MessagePattern, Transport } from '@nestjs/microservices';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { enableMeshShutdown, MeshLifecycle, MeshModule, MessageBroker } from 'nestjs-mesh';
import { LoggerModule } from 'nestjs-pino';
import { interval, map } from 'rxjs';
import type { ChildSpec } from './spec.js';

// The application of the signal tests: it runs as a process of its own and says on stdout what it does.
const spec = JSON.parse(process.argv[2] ?? '{}') as ChildSpec;
/** At once, as the process may be about to end. The pipe may be full for a moment: its reader is busy with 200 requests. */
function say(line: string): void {
  for (;;)
    try {
      return void writeSync(1, `${line}\n`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
}
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

@Controller()
class WorkController {
  constructor(@Inject(MessageBroker) private readonly broker: MessageBroker) {}

  @Get('work')
  async work(@Query('ms') ms: string): Promise<object> {
    say('working');
    await pause(Number(ms));
    // Work in flight may still use the mesh, however late in the drain it is.
    return { doubled: await this.broker.request('double', 21) };
  }

  @Sse('ticks')
  ticks() {
    return interval(20).pipe(map((tick) => ({ data: String(tick) })));
  }

  @MessagePattern('double')
  double(value: number): number {
    return value * 2;
  }

  @MessagePattern('slow')
  async slow(ms: number): Promise<string> {
    say('working');
    await pause(ms);
    return 'done';
  }

  @EventPattern('bye')
  bye(name: string): void {
    say(`bye received from ${name}`);
  }
}

@Injectable()
class Hooks implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown {
  constructor(
    @Inject(MessageBroker) private readonly broker: MessageBroker,
    @Inject(MeshLifecycle) lifecycle: MeshLifecycle,
  ) {
    lifecycle.register({
      name: 'ledger',
      dependsOn: ['broker'],
      start: async ({ signal }) => {
        say('ledger start');
        if (spec.slow?.where === 'component')
          await new Promise((resolve, reject) => {
            setTimeout(resolve, spec.slow?.ms);
            signal.addEventListener('abort', () => reject(signal.reason));
          });
      },
      stop: async () => {
        say('ledger stop');
        if (spec.hang === 'component') await new Promise(() => undefined);
      },
    });
  }

  async onModuleInit(): Promise<void> {
    say('init');
    if (spec.slow?.where === 'onModuleInit') await pause(spec.slow.ms);
    if (spec.hang === 'onModuleInit') await new Promise(() => undefined);
  }

  async onApplicationBootstrap(): Promise<void> {
    say('bootstrap');
    if (spec.slow?.where === 'onApplicationBootstrap') await pause(spec.slow.ms);
  }

  async onModuleDestroy(): Promise<void> {
    say('destroy');
    await this.broker.publish('bye', 'onModuleDestroy').then(
      () => say('published'),
      (error: Error) => say(error.message),
    );
    if (spec.hang === 'onModuleDestroy') await new Promise(() => undefined);
  }

  onApplicationShutdown(signal?: string): void {
    say(`shutdown by ${signal}`);
  }
}

const ownLogger = spec.workerLog
  ? [
      LoggerModule.forRoot({
        pinoHttp: { transport: { target: 'pino/file', options: { destination: spec.workerLog } } },
      }),
    ]
  : [];

@Module({
  imports: [...ownLogger, MeshModule.forRoot({ service: { name: 'child' }, lifecycle: spec.lifecycle ?? {} })],
  controllers: [WorkController],
  providers: [Hooks],
})
class AppModule {}

async function boot(): Promise<void> {
  if (spec.kind === 'context') {
    enableMeshShutdown(await NestFactory.createApplicationContext(AppModule, { logger: false }));
    // A worker has something that keeps it up: a queue's connection, here a timer.
    setInterval(() => undefined, 1_000);
    say('listening 0');
    return;
  }
  if (spec.kind === 'tcp') {
    const options = { port: 0, host: '127.0.0.1' };
    const app = await NestFactory.createMicroservice(AppModule, { transport: Transport.TCP, options, logger: false });
    enableMeshShutdown(app);
    await app.listen();
    say(`listening ${(app.unwrap<Server>().address() as AddressInfo).port}`);
    return;
  }
  if (spec.kind !== 'fastify') await serve(new ExpressAdapter());
  if (spec.kind !== 'express') await serve(new FastifyAdapter());
}

async function serve(adapter: ExpressAdapter | FastifyAdapter): Promise<void> {
  const app: INestApplication = await NestFactory.create(AppModule, adapter as ExpressAdapter, { logger: false });
  enableMeshShutdown(app);
  await app.listen(0, '127.0.0.1');
  say(`listening ${((app.getHttpServer() as Server).address() as AddressInfo).port}`);
}

if (spec.otherListener) process.on('SIGTERM', () => say('heard SIGTERM'));
// As Nest's CLI writes it: a top-level await would have Node tell of a start that hangs.
void boot();
