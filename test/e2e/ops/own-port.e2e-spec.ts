import { createServer, type AddressInfo } from 'node:net';
import { Controller, Get, type INestApplicationContext, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { MeshModule, type MeshOptions, ServiceMesh } from 'nestjs-mesh';
import { afterEach, describe, expect, it } from 'vitest';
import { client, platforms, READ, WRITE } from './ops-app.js';

const quiet = { service: { name: 'orders' }, logging: { level: 'silent' } } as const;
const running: INestApplicationContext[] = [];

@Controller()
class Host {
  @Get('open')
  open(): string {
    return 'open';
  }
}

function application(options: Partial<MeshOptions>) {
  @Module({ imports: [MeshModule.forRoot({ ...quiet, ...options })], controllers: [Host] })
  class App {}
  return App;
}

/** Boots on the platform and resolves with both addresses. */
async function start(platform: keyof typeof platforms, options: Partial<MeshOptions>) {
  const module = await Test.createTestingModule({ imports: [application(options)] }).compile();
  const app = module.createNestApplication(platforms[platform]() as never, { logger: false });
  running.push(app);
  const listening = new Promise<number>((resolve) => {
    module.get(ServiceMesh).events.on('ops.listening', ({ port }) => resolve(port));
  });
  await app.listen(0, '127.0.0.1');
  return { app, url: await app.getUrl(), own: `http://127.0.0.1:${await listening}` };
}

const status = async (url: string) => (await fetch(url)).status;

afterEach(async () => {
  await Promise.all(running.splice(0).map((app) => app.close()));
});

describe.each(['Express', 'Fastify'] as const)('a port of their own beside %s', (platform) => {
  it("has the probes, the metrics and the operators' endpoints, and the application's port does not", async () => {
    const { url, own } = await start(platform, { ops: { port: 0, tokens: { write: WRITE } } });
    const paths = ['/health/live', '/health/ready', '/health/startup', '/metrics'];
    expect(await Promise.all(paths.map((path) => status(own + path)))).toEqual([200, 200, 200, 200]);
    expect(await Promise.all(paths.map((path) => status(url + path)))).toEqual([404, 404, 404, 404]);
    expect((await client(own).get('/mesh')).json).toMatchObject({ service: 'orders', ready: true });
    expect([await status(`${url}/mesh`), await status(`${own}/open`)]).toEqual([404, 404]);
    expect(await status(`${url}/open`)).toBe(200);
  });

  it('stays without the endpoints when these are off', async () => {
    const { own } = await start(platform, { ops: { port: 0, enabled: false } });
    expect([await status(`${own}/metrics`), await status(`${own}/mesh`)]).toEqual([200, 404]);
  });

  it('answers during the drain, and ends its streams by itself', async () => {
    const { app, own } = await start(platform, {
      ops: { port: 0 },
      lifecycle: { shutdown: { preStop: 'always', preStopMs: 300 } },
    });
    const stream = await fetch(`${own}/mesh/stream`);
    const closing = app.close();
    await stream.text();
    expect([await status(`${own}/health/ready`), await status(`${own}/health/live`)]).toEqual([503, 200]);
    await closing;
    await expect(fetch(`${own}/health/live`)).rejects.toThrow('fetch failed');
  });
});

describe('a port of their own', () => {
  it('works in a standalone context, which has no other', async () => {
    const context = await Test.createTestingModule({ imports: [application({ ops: { port: 0 } })] }).compile();
    running.push(context);
    const listening = new Promise<number>((resolve) => {
      context.get(ServiceMesh).events.on('ops.listening', ({ port }) => resolve(port));
    });
    await context.init();
    const own = `http://127.0.0.1:${await listening}`;
    expect([await status(`${own}/health/ready`), await status(`${own}/mesh/components`)]).toEqual([200, 200]);
  });

  it('is set up by the environment alone', async () => {
    const environment = { MESH_OPS__PORT: '0', MESH_OPS__ENABLED: 'true', MESH_OPS__TOKENS__READ: READ };
    Object.assign(process.env, environment);
    try {
      const { own } = await start('Express', {});
      expect((await client(own).get('/mesh', { authorization: `Bearer ${READ}` })).status).toBe(200);
      expect((await client(own).get('/mesh', { authorization: '' })).status).toBe(401);
    } finally {
      for (const name of Object.keys(environment)) delete process.env[name];
    }
  });

  it('fails the start with its number when it is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as AddressInfo;
    const booting = NestFactory.createApplicationContext(application({ ops: { port } }), {
      logger: false,
      abortOnError: false,
    });
    await expect(booting).rejects.toMatchObject({
      cause: { message: `ops.port ${port} on 127.0.0.1 can't be used (EADDRINUSE).` },
    });
    taken.close();
  });
});
