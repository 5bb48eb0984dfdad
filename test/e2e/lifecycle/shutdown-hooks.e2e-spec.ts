import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type BeforeApplicationShutdown,
  Injectable,
  Module,
  type OnApplicationShutdown,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { MeshComponent, MeshModule, Resilient, ServiceMesh } from 'nestjs-mesh';
import { afterEach, beforeEach, expect, it } from 'vitest';

let server: Server;
let said: string[];

/** Uses everything of the mesh that work needs, and says how that went. */
@Injectable()
class Work {
  constructor(private readonly mesh: ServiceMesh) {}

  @Resilient('ledger.close')
  async close(): Promise<string> {
    return 'closed';
  }

  async all(where: string): Promise<void> {
    const { port } = server.address() as AddressInfo;
    const uses = {
      policy: () => this.close(),
      fetch: async () => (await this.mesh.fetch('ledger', `http://127.0.0.1:${port}/`)).text(),
      request: () => this.mesh.broker.request<string>('echo', 'answered'),
      cache: () => this.mesh.cache.getOrSet(where, async () => 'loaded'),
    };
    for (const [what, use] of Object.entries(uses)) {
      const result = await use().catch((error: Error) => error.message);
      said.push(`${where} ${what}: ${result}`);
    }
  }
}

@Injectable()
class Hooks implements OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown {
  constructor(private readonly work: Work) {}

  onModuleDestroy = () => this.work.all('destroy');
  beforeApplicationShutdown = () => this.work.all('before');
  onApplicationShutdown = () => this.work.all('shutdown');
}

/** Depends on nothing by name. */
@MeshComponent({ name: 'ledger' })
@Injectable()
class Ledger {
  constructor(private readonly work: Work) {}

  drain = () => this.work.all('drain');
  stop = () => this.work.all('stop');
}

const policy = { retry: false as const };

@Module({
  imports: [
    MeshModule.forRoot({
      service: { name: 'orders' },
      logging: { level: 'silent' },
      resilience: { policies: { ledger: policy, 'ledger.close': policy } },
    }),
  ],
  providers: [Work, Hooks, Ledger],
})
class App {}

beforeEach(async () => {
  said = [];
  server = createServer((_, response) => response.end('fetched'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterEach(() => server.close());

it("the mesh serves the application's shutdown hooks, and the steps of its components", async () => {
  const app = (await Test.createTestingModule({ imports: [App] }).compile()).createNestApplication({ logger: false });
  await app.listen(0, '127.0.0.1');
  app.get(ServiceMesh).broker.serve('echo', (payload) => payload);
  await app.close();
  expect(said).toEqual(
    ['drain', 'destroy', 'before', 'shutdown', 'stop'].flatMap((where) => [
      `${where} policy: closed`,
      `${where} fetch: fetched`,
      `${where} request: answered`,
      `${where} cache: loaded`,
    ]),
  );
});

it('policies refuse calls once the mesh has stopped', async () => {
  const app = (await Test.createTestingModule({ imports: [App] }).compile()).createNestApplication({ logger: false });
  await app.listen(0, '127.0.0.1');
  const work = app.get(Work);
  await app.close();
  await expect(work.close()).rejects.toMatchObject({ code: 'MESH_DRAINING' });
});
