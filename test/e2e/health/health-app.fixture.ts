import { setTimeout as sleep } from 'node:timers/promises';
import {
  Injectable,
  Module,
  type DynamicModule,
  type INestApplication,
  type OnModuleDestroy,
  type OnModuleInit,
  type Type,
} from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { type MeshExtras, MeshModule, type MeshOptions } from 'nestjs-mesh';
import { HealthContributor } from '../../../libs/mesh/src/health/health-contributor.decorator.js';

export const platforms = Object.entries({ Express: () => new ExpressAdapter(), Fastify: () => new FastifyAdapter() });

/** Connects in a hook, as clients of databases do, and is asked in the background from then on. */
@Injectable()
export class Ledger implements OnModuleInit, OnModuleDestroy {
  pings = 0;
  connected = false;
  failure: Error | undefined;

  async onModuleInit(): Promise<void> {
    await sleep(50);
    this.connected = true;
  }

  onModuleDestroy(): void {
    this.connected = false;
  }

  @HealthContributor('ledger', { groups: { ready: 'required' } })
  ping(): void {
    this.pings++;
    if (!this.connected) throw new Error('not connected');
    if (this.failure) throw this.failure;
  }
}

@Module({ providers: [Ledger] })
export class LedgerModule {}

export function mesh(options: Partial<MeshOptions> = {}, extras: MeshExtras = {}): DynamicModule {
  return MeshModule.forRoot({ service: { name: 'orders' }, logging: { level: 'silent' }, ...options }, extras);
}

export type Get = (path: string, init?: RequestInit) => Promise<Response>;

/** The applications of one test, on real sockets of one platform. */
export class HealthApps {
  readonly #createAdapter: (typeof platforms)[number][1];
  readonly #apps = new Set<INestApplication>();

  constructor(createAdapter: (typeof platforms)[number][1]) {
    this.#createAdapter = createAdapter;
  }

  async create(...imports: (Type | DynamicModule)[]): Promise<INestApplication> {
    const module = await Test.createTestingModule({ imports }).compile();
    const app = module.createNestApplication<NestFastifyApplication>(this.#createAdapter(), { logger: false });
    this.#apps.add(app);
    return app;
  }

  async listen(app: INestApplication): Promise<Get> {
    await app.listen(0, '127.0.0.1');
    const url = await app.getUrl();
    return (path, init) => fetch(url + path, init);
  }

  async start(...imports: (Type | DynamicModule)[]): Promise<{ readonly app: INestApplication; readonly get: Get }> {
    const app = await this.create(...imports);
    return { app, get: await this.listen(app) };
  }

  close(app: INestApplication): Promise<void> {
    this.#apps.delete(app);
    return app.close();
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#apps].map((app) => this.close(app)));
  }
}
