import { type INestApplicationContext, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { HealthAggregator, MeshEvents, MeshModule, type MeshOptions } from 'nestjs-mesh';
import { afterEach, describe, expect, it } from 'vitest';
import { natsIsHere, NatsServer } from '../broker/nats-server.js';
import { isInstalled } from '../broker/server-process.js';
import { RedisServer } from '../cache/redis-server.js';

/** Longer than these tests take: what shows meanwhile was told, not asked. */
const NO_CHECKS = { everyMs: 3_600_000 };

const redisIsHere = isInstalled('redis-server', '--version');
const stops: (() => Promise<unknown>)[] = [];

async function boot(options: Partial<MeshOptions>): Promise<INestApplicationContext> {
  @Module({
    imports: [MeshModule.forRoot({ service: { name: 'orders' }, health: NO_CHECKS, ...options }, { logging: false })],
  })
  class App {}
  const app = await NestFactory.createApplicationContext(App, { logger: false, abortOnError: false });
  stops.unshift(() => app.close());
  return app;
}

/** What health says of a part, each time that its connection is lost or found. */
function told(app: INestApplicationContext, event: 'broker.connection' | 'cache.second-tier', part: string): string[] {
  const health = app.get(HealthAggregator);
  const seen: string[] = [];
  app.get(MeshEvents).on(event, ({ state }) => {
    const { components, groups } = health.overview();
    seen.push(`${state}: ${components.find(({ name }) => name === part)?.state}, ready is ${groups['ready']}`);
  });
  return seen;
}

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

describe('health', () => {
  it.skipIf(!natsIsHere)(
    'shows a lost connection of the broker at once, and its return',
    async () => {
      const server = await NatsServer.start();
      stops.push(() => server.stop());
      const app = await boot({ broker: { ...server.options('orders') } });
      const seen = told(app, 'broker.connection', 'broker');
      await server.kill();
      await expect.poll(() => seen, { timeout: 5_000 }).toEqual(['away: down, ready is degraded']);
      await server.start();
      await expect
        .poll(() => seen, { timeout: 8_000 })
        .toEqual(['away: down, ready is degraded', 'up: up, ready is up']);
    },
    20_000,
  );

  it.skipIf(!redisIsHere)(
    'shows a lost second tier of the cache at once, and its return',
    async () => {
      const redis = await RedisServer.start();
      stops.push(() => redis.kill());
      const app = await boot({ cache: { redis: { url: redis.url } } });
      const seen = told(app, 'cache.second-tier', 'cache');
      await redis.kill();
      await expect.poll(() => seen, { timeout: 5_000 }).toEqual(['away: degraded, ready is degraded']);
      await redis.start();
      await expect
        .poll(() => seen, { timeout: 8_000 })
        .toEqual(['away: degraded, ready is degraded', 'up: up, ready is up']);
    },
    20_000,
  );
});
