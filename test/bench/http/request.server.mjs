// One server of the benchmark, in a process of its own so that its CPU time is only its own:
//   node request.server.mjs <plain|mesh|mesh-log|pino>
// It sends { port } when it listens, and { cpuUs } whenever it is asked. Its lines go to standard output.
import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';

const dist = new URL(`${process.env.MESH_DIST ?? '../../../libs/mesh/dist'}/`, import.meta.url);

async function mesh(accessLog) {
  const { MeshModule } = await import(new URL('index.js', dist).href);
  return [MeshModule.forRoot({ service: { name: 'bench' }, logging: { accessLog, adoptNestLogger: false } })];
}

const imports = {
  plain: () => [],
  mesh: () => mesh(false),
  'mesh-log': () => mesh(true),
  pino: async () => [(await import('nestjs-pino')).LoggerModule.forRoot()],
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
await app.listen(0, '127.0.0.1');
process.on('message', () => {
  const { user, system } = process.cpuUsage();
  process.send({ cpuUs: user + system });
});
process.on('disconnect', () => process.exit(0));
process.send({ port: Number(new URL(await app.getUrl()).port) });
