import { writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { natsIsHere, NatsServer } from '../chaos/broker/nats-server.js';
import { FreshApp, optionalPeers, pack, temporaryFolder } from './fresh-app.js';

interface Outcome {
  /** What the start, or the first use, failed with. */
  readonly error?: string;
  /** What the log says of optional peers. */
  readonly lines: readonly string[];
}

interface Absence {
  readonly peer: string;
  readonly when: string;
  readonly options: object;
  readonly env?: Readonly<Record<string, string>>;
}

// Boots a context with the options in OPTIONS, publishes one confirmed message if PUBLISH says so, and prints the outcome.
const BOOT = `
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { MeshModule, ServiceMesh } from 'nestjs-mesh';

if (process.env.TRACED) globalThis[Symbol.for('opentelemetry.js.api.1')] = { trace: {} };
const options = { service: { name: 'fresh' }, logging: { level: 'warn' }, ...JSON.parse(process.env.OPTIONS) };
class App {}
Module({ imports: [MeshModule.forRoot(options)] })(App);
let error;
try {
  const app = await NestFactory.createApplicationContext(App, { bufferLogs: true, abortOnError: false });
  const { broker } = app.get(ServiceMesh);
  await broker.subscribe('orders', () => {}, { name: 'fresh' });
  if (process.env.PUBLISH) await broker.publish('orders', {}, { guarantee: process.env.PUBLISH });
  await app.close();
} catch (thrown) {
  error = thrown.message;
}
process.stdout.write('OUTCOME ' + JSON.stringify({ error }) + '\\n', () => process.exit());
`;

const folder = temporaryFolder();
let app: FreshApp;

async function boot({ options, env = {} }: Omit<Absence, 'peer' | 'when'>): Promise<Outcome> {
  const output = await app.run('boot.mjs', { ...env, OPTIONS: JSON.stringify(options) });
  const written = output.split('\n');
  const outcome = written.find((line) => line.startsWith('OUTCOME '))!;
  const lines = written.filter((line) => line !== outcome && optionalPeers.some((name) => line.includes(name)));
  return { ...(JSON.parse(outcome.slice('OUTCOME '.length)) as { error?: string }), lines };
}

const absences: Absence[] = [
  { peer: '@keyv/redis', when: 'cache.redis', options: { cache: { redis: { url: 'redis://127.0.0.1:1' } } } },
  {
    peer: '@keyv/redis',
    when: 'broker.dedupe.redisUrl',
    options: { broker: { dedupe: { redisUrl: 'redis://127.0.0.1:1' } } },
  },
  { peer: '@nats-io/transport-node', when: 'transport nats', options: { broker: { transport: 'nats' } } },
  { peer: 'rabbitmq-client', when: 'transport rabbitmq', options: { broker: { transport: 'rabbitmq' } } },
  {
    peer: 'rabbitmq-client',
    when: 'a server that is not required',
    options: { broker: { transport: 'rabbitmq', required: false } },
  },
  { peer: 'yaml', when: 'a YAML file', options: {}, env: { MESH_CONFIG_FILE: join(folder, 'mesh.yaml') } },
];

/** What Nest's own transports need, and @nestjs/microservices leaves to the application. */
const overNest: Absence[] = [
  ['redis', 'ioredis'],
  ['nats', 'nats'],
  ['rmq', 'amqplib'],
  ['mqtt', 'mqtt'],
].map(([via, peer]) => ({
  peer: peer!,
  when: `transport nest via ${via}`,
  options: { broker: { transport: 'nest', via, ...(via === 'rmq' && { server: { queue: 'fresh' } }) } },
}));

/** Peers with an absence of another kind, below. */
const others = ['@nats-io/jetstream', '@nestjs/testing', '@opentelemetry/api'];

beforeAll(async () => {
  app = await FreshApp.make(folder, await pack(folder), { format: 'esm', platform: 'express' });
  app.write('boot.mjs', BOOT);
  writeFileSync(join(folder, 'mesh.yaml'), 'cache: { ttlMs: 1000 }\n');
}, 300_000);

afterAll(() => rm(folder, { recursive: true, force: true }), 60_000);

describe('an application without optional peers', () => {
  it('starts without a remark', async () => {
    expect(await boot({ options: {} })).toEqual({ lines: [] });
  }, 30_000);

  it.each([...absences, ...overNest])(
    'is told to install $peer for $when',
    async ({ peer, options, env = {} }) => {
      const { error } = await boot({ options, env });

      expect(error).toMatch(new RegExp(`npm i(nstall)? .*${peer}`));
      expect(error?.split('\n')).toHaveLength(1);
    },
    30_000,
  );

  it('starts without spans, and says why, when it traces and the API of OpenTelemetry is not there', async () => {
    // npm installs it for prom-client where all find it; strict package managers don't.
    app.hide('@opentelemetry/api', 'prom-client');
    const { error, lines } = await boot({ options: {}, env: { TRACED: '1' } });

    expect(error).toBeUndefined();
    expect(lines).toEqual([expect.stringMatching(/lifecycle\.warning.*@opentelemetry\/api/)]);
  }, 30_000);

  it('is told by Node what nestjs-mesh/testing needs', async () => {
    app.hide('@nestjs/testing', 'elsewhere');
    app.write('kit.mjs', "await import('nestjs-mesh/testing').catch(({ message }) => console.log(message));");

    expect(await app.run('kit.mjs')).toMatch(/Cannot find package '@nestjs\/testing'/);
  }, 30_000);

  it.skipIf(!natsIsHere)(
    `is told to install @nats-io/jetstream for confirmed messages${natsIsHere ? '' : ' (skipped: nats-server is not installed)'}`,
    async () => {
      await app.add('@nats-io/transport-node');
      const nats = await NatsServer.start();
      const broker = { transport: 'nats', servers: [nats.url] };
      const { error } = await boot({ options: { broker }, env: { PUBLISH: 'confirmed' } }).finally(() => nats.stop());

      expect(error).toMatch(/npm i @nats-io\/jetstream/);
    },
    120_000,
  );

  it('is tested without each of them', () => {
    expect([...new Set(absences.map(({ peer }) => peer)), ...others].toSorted()).toEqual(optionalPeers.toSorted());
  });
});
