// One start of one application in a process of its own: `child.mjs plain|mesh`. Prints CPU milliseconds and megabytes as JSON.
import 'reflect-metadata';

// CPU time, which other processes of the machine change little.
const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};

const from = cpuMs();
const { Controller, Get, Module } = await import('@nestjs/common');
const { NestFactory } = await import('@nestjs/core');

class Root {
  get() {
    return 'ok';
  }
}
Controller()(Root);
Get()(Root.prototype, 'get', Object.getOwnPropertyDescriptor(Root.prototype, 'get'));

const imports = [];
if (process.argv[2] === 'mesh') {
  const { load } = await import('../harness.js');
  const { MeshModule } = await load('index.js');
  imports.push(MeshModule.forRoot({ service: { name: 'start' }, logging: { level: 'silent' } }));
}
class App {}
Module({ imports, controllers: [Root] })(App);

const imported = cpuMs();
const app = await NestFactory.create(App, { logger: false });
await app.listen(0, '127.0.0.1');
const listening = cpuMs();
globalThis.gc();
const { heapUsed, rss } = process.memoryUsage();
console.log(
  JSON.stringify({
    importMs: imported - from,
    startMs: listening - imported,
    heapMb: heapUsed / 1e6,
    rssMb: rss / 1e6,
  }),
);
await app.close();
