// One server of the benchmark: health.server.mjs <mesh|terminus> <number of contributors>
import 'reflect-metadata';
import { Controller, Get, Inject, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { HealthCheckService, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { serve } from './serve.js';

const [kind, count] = [process.argv[2], Number(process.argv[3])];
const names = Array.from({ length: count }, (_, i) => `dependency-${i}`);
const dist = new URL(`${process.env.MESH_DIST ?? '../../../libs/mesh/dist'}/`, import.meta.url);

const servers = {
  /** Terminus as its documentation shows it: every probe asks every indicator, and each answers at once. */
  async terminus() {
    class HealthController {
      constructor(health, indicators) {
        this.health = health;
        this.checks = names.map((name) => () => indicators.check(name).up());
      }

      check() {
        return this.health.check(this.checks);
      }
    }
    Controller('health')(HealthController);
    Get('ready')(
      HealthController.prototype,
      'check',
      Object.getOwnPropertyDescriptor(HealthController.prototype, 'check'),
    );
    Inject(HealthCheckService)(HealthController, undefined, 0);
    Inject(HealthIndicatorService)(HealthController, undefined, 1);
    class AppModule {}
    Module({ imports: [TerminusModule], controllers: [HealthController] })(AppModule);
    return NestFactory.create(AppModule, new FastifyAdapter(), { logger: false });
  },

  async mesh() {
    const { MeshModule, HealthAggregator } = await import(new URL('index.js', dist).href);
    class AppModule {}
    Module({
      imports: [
        MeshModule.forRoot({ service: { name: 'bench' }, health: { details: 'always' }, logging: { level: 'error' } }),
      ],
    })(AppModule);
    const app = await NestFactory.create(AppModule, new FastifyAdapter(), { logger: false });
    const health = app.get(HealthAggregator);
    for (const name of names) health.register({ name, groups: { ready: 'required' }, check: () => undefined });
    return app;
  },
};

await serve(await servers[kind]());
