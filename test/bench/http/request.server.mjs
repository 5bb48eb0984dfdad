// One server of the benchmark: request.server.mjs <plain|mesh|mesh-log|pino>. Its lines go to standard output.
import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { serve } from './serve.js';

const dist = new URL(`${process.env.MESH_DIST ?? '../../../libs/mesh/dist'}/`, import.meta.url);

async function mesh(accessLog) {
  const { MeshModule } = await import(new URL('index.js', dist).href);
  return [MeshModule.forRoot({ service: { name: 'bench' }, logging: { accessLog, adoptNestLogger: false } })];
}

const imports = {
  plain: () => [],
  mesh: () => mesh(false),
  'mesh-log': () => mesh(true),
  // Its own default route matches nothing on Fastify under Nest 12.
  pino: async () => [(await import('nestjs-pino')).LoggerModule.forRoot({ forRoutes: ['*path'] })],
};

class Hello {
  hello() {
    return { hello: 'world' };
  }
}
Controller()(Hello);
Get('hello/:name')(Hello.prototype, 'hello', Object.getOwnPropertyDescriptor(Hello.prototype, 'hello'));

class AppModule {}
Module({ imports: await imports[process.argv[2]](), controllers: [Hello] })(AppModule);
const app = await NestFactory.create(AppModule, new FastifyAdapter(), { logger: false });
await serve(app);
