// What a request over RabbitMQ costs, beside Nest's own transport over the same server, in the same run.
// npm run build:lib && node test/bench/broker/rabbitmq.bench.mjs   (a server on 127.0.0.1:5672, guest/guest)
// The goal is issue 8's: at least Nest's rate on the same work. Rounds alternate, so that a busy machine is busy for both.
import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, MessagePattern, Transport } from '@nestjs/microservices';
import { Connection } from 'rabbitmq-client';
import { firstValueFrom } from 'rxjs';

const dist = new URL(`${process.env.MESH_DIST ?? '../../../libs/mesh/dist'}/`, import.meta.url);
const load = (path) => import(new URL(path, dist).href);
const { createBroker } = await load('broker/create-broker.js');
const { brokerOptionsSchema } = await load('broker/broker.options.js');
const { CallContexts } = await load('core/call-context.js');
const { SystemClock } = await load('core/clock.js');
const { SystemIds } = await load('core/ids.js');
const { fixedOptions } = await load('core/live-options.js');
const { MeshEvents } = await load('core/mesh.events.js');
const { ServiceInfo } = await load('core/service-info.js');

const ADDRESS = 'amqp://guest:guest@127.0.0.1:5672';
const ROUNDS = Number(process.env.ROUNDS ?? 7);
const CALLS = Number(process.env.CALLS ?? 1_000);
const PAYLOAD = { a: 2, b: 3 };
const names = `mesh-bench-${randomUUID().slice(0, 8)}`;
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

class NoMetrics {
  #family = { with: () => ({ inc() {}, dec() {}, set() {}, observe() {} }) };
  counter = () => this.#family;
  gauge = () => this.#family;
  histogram = () => this.#family;
  onCollect = () => () => undefined;
}

async function meshBroker(instance) {
  const options = brokerOptionsSchema.parse({ transport: 'rabbitmq', servers: ADDRESS, namePrefix: names });
  const broker = createBroker(fixedOptions(options), {
    clock: new SystemClock(),
    ids: new SystemIds(),
    contexts: new CallContexts(),
    metrics: new NoMetrics(),
    events: new MeshEvents(),
    service: new ServiceInfo('bench', instance),
  });
  await broker.start({ signal: AbortSignal.timeout(10_000) });
  broker.startConsuming();
  return broker;
}

class Sum {
  sum({ a, b }) {
    return a + b;
  }
}
Controller()(Sum);
MessagePattern('sum')(Sum.prototype, 'sum', Object.getOwnPropertyDescriptor(Sum.prototype, 'sum'));
class NestModule {}
Module({ controllers: [Sum] })(NestModule);

const rmq = { urls: [ADDRESS], queue: `${names}.nest`, queueOptions: { durable: false, autoDelete: true } };
const nestServer = await NestFactory.createMicroservice(NestModule, {
  transport: Transport.RMQ,
  options: rmq,
  logger: ['error'],
});
await nestServer.listen();
const nestClient = ClientProxyFactory.create({ transport: Transport.RMQ, options: rmq });
await nestClient.connect();

const server = await meshBroker('server');
server.serve('sum', ({ a, b }) => a + b);
const client = await meshBroker('client');
await client.waitFor(['sum']);

const subjects = {
  mesh: () => client.request('sum', PAYLOAD),
  nest: () => firstValueFrom(nestClient.send('sum', PAYLOAD)),
};

/** Requests a second with `width` of them on their way. */
async function rate(request, width) {
  let left = CALLS;
  const startedAt = performance.now();
  const caller = async () => {
    while (left-- > 0) if ((await request()) !== 5) throw new Error('wrong answer');
  };
  await Promise.all(Array.from({ length: width }, caller));
  return (CALLS * 1_000) / (performance.now() - startedAt);
}

for (const width of [1, 64]) {
  const rates = { mesh: [], nest: [] };
  for (const [name, request] of Object.entries(subjects)) await rate(request, width).then(() => rates[name]);
  for (let round = 0; round < ROUNDS; round++)
    for (const [name, request] of Object.entries(subjects)) rates[name].push(await rate(request, width));
  const [mesh, nest] = [median(rates.mesh), median(rates.nest)];
  const ratio = (mesh / nest).toFixed(2);
  console.log(`${width} in flight: mesh ${mesh.toFixed(0)}/s, Nest ${nest.toFixed(0)}/s, ${ratio}x`);
}

await Promise.all([client.stop(), server.stop()]);
const connection = new Connection(ADDRESS);
await connection.exchangeDelete({ exchange: `${names}.events` });
await connection.close();
await nestClient.close();
// Nest's own server may throw at its end, and its connection would keep the process.
await nestServer.close().catch(() => undefined);
process.exit();
