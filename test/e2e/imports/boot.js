// Boots the smallest application on the built package and prints which packages were loaded for it.
import { registerHooks } from 'node:module';

const loaded = new Set();
registerHooks({
  load(url, context, next) {
    const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)/.exec(url)?.[1];
    if (name) loaded.add(name);
    return next(url, context);
  },
});

await import('reflect-metadata');
const { Module } = await import('@nestjs/common');
const { NestFactory } = await import('@nestjs/core');
const { MeshModule } = await import('nestjs-mesh');

class App {}
Module({ imports: [MeshModule.forRoot({ service: { name: 'minimal' }, logging: { level: 'silent' } })] })(App);
const app = await NestFactory.createApplicationContext(App, { logger: false });
await app.close();
process.stdout.write(JSON.stringify([...loaded].toSorted()));
