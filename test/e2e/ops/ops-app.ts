import {
  Controller,
  Get,
  HttpException,
  type INestApplication,
  Module,
  type Type,
  VersioningType,
} from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { CircuitBreakerManager, type MeshExtras, MeshModule, type MeshOptions, ServiceMesh } from 'nestjs-mesh';

export const platforms = { Express: () => new ExpressAdapter(), Fastify: () => new FastifyAdapter() };
export type Platform = keyof typeof platforms;

export const READ = 'planted-read-token';
export const WRITE = 'planted-write-token';
export const SECRET = 'planted-secret';

const options: MeshOptions = {
  service: { name: 'orders', instance: 'orders-1' },
  logging: { level: 'silent' },
  resilience: {
    policies: {
      'payments.charge': { retry: false, circuitBreaker: { minimumCalls: 2, openMs: 5_000 } },
      unprotected: { circuitBreaker: false },
      'http:*': {},
    },
  },
  cache: { ttlMs: 1_000 },
  ops: { tokens: { read: READ, write: WRITE } },
};

/** As @nestjs/throttler: a global guard that refuses the third call. */
class ThrottlerLikeGuard {
  #calls = 0;

  canActivate(): boolean {
    if (++this.#calls > 2) throw new HttpException('Too Many Requests', 429);
    return true;
  }
}

class RefuseAll {
  canActivate(): boolean {
    return false;
  }
}

@Controller()
class Host {
  @Get('open')
  open(): string {
    return 'open';
  }
}

export interface OpsApp {
  readonly app: INestApplication;
  readonly url: string;
  readonly mesh: ServiceMesh;
  readonly breakers: CircuitBreakerManager;
}

/** A host with a prefix, versions, a throttler and a guard that refuses everything: none may reach the mesh's own routes. */
export async function startOps(
  platform: Platform,
  given: Partial<MeshOptions> = {},
  extras: MeshExtras = {},
): Promise<OpsApp> {
  @Module({
    imports: [MeshModule.forRoot({ ...options, ...given }, extras)],
    controllers: [Host],
    providers: [
      { provide: APP_GUARD, useClass: ThrottlerLikeGuard },
      { provide: APP_GUARD, useClass: RefuseAll },
    ],
  })
  class App {}
  const module = await Test.createTestingModule({ imports: [App as Type] }).compile();
  const app = module.createNestApplication<INestApplication>(platforms[platform]() as never, { logger: false });
  app.setGlobalPrefix('api');
  app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
  await app.listen(0, '127.0.0.1');
  return { app, url: await app.getUrl(), mesh: app.get(ServiceMesh), breakers: app.get(CircuitBreakerManager) };
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- what a test looks at, it asserts
  readonly json: any;
}

/** Asks one application; with the write token unless told otherwise. */
export function client(url: string) {
  const ask = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${WRITE}`, 'x-mesh-ops': 'alice', ...headers },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json');
    return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined };
  };
  return {
    ask: ask as (...args: Parameters<typeof ask>) => Promise<Answer>,
    get: (path: string, headers?: Record<string, string>): Promise<Answer> => ask('GET', path, undefined, headers),
    post: (path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer> =>
      ask('POST', path, body, headers),
    patch: (path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer> =>
      ask('PATCH', path, body, headers),
  };
}
