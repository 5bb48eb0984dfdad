// What a request over RabbitMQ costs, beside Nest's own transport over the same server, in the same run.
// npm run build:lib && node test/bench/broker/rabbitmq.bench.mjs   (a server on 127.0.0.1:5672, guest/guest)
// The goal is issue 8's: at least Nest's rate on the same work.
import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, MessagePattern, Transport } from '@nestjs/microservices';
import { Connection } from 'rabbitmq-client';
import { firstValueFrom } from 'rxjs';
import { goal } from '../harness.js';
import { meshBroker } from './mesh-broker.js';
import { raceRequests } from './request-race.js';

const ADDRESS = 'amqp://guest:guest@127.0.0.1:5672';
const PAYLOAD = { a: 2, b: 3 };
const names = `mesh-bench-${randomUUID().slice(0, 8)}`;

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

const options = { transport: 'rabbitmq', servers: ADDRESS, namePrefix: names };
const server = await meshBroker(options, { name: 'sums' });
server.serve('sum', ({ a, b }) => a + b);
const client = await meshBroker(options, { name: 'caller' });
await client.waitFor(['sum']);

const contenders = {
  nest: () => firstValueFrom(nestClient.send('sum', PAYLOAD)),
  mesh: () => client.request('sum', PAYLOAD),
};
for (const [name, call] of Object.entries(contenders))
  if ((await call()) !== 5) throw new Error(`${name} answers wrongly`);

const alone = await raceRequests('A request over RabbitMQ, one after the other', contenders, { calls: 500, width: 1 });
goal("RabbitMQ, sequential, time of Nest's", alone('mesh', 'nest'), 1, 'x');
const crowd = await raceRequests('A request over RabbitMQ, 64 in flight', contenders, { calls: 4_000, width: 64 });
goal("RabbitMQ, 64 in flight, time of Nest's", crowd('mesh', 'nest'), 1, 'x');

await Promise.all([client.stop(), server.stop()]);
const connection = new Connection(ADDRESS);
await connection.exchangeDelete({ exchange: `${names}.events` });
await connection.close();
await nestClient.close();
// Nest's own server may throw at its end, and its connection would keep the process.
await nestServer.close().catch(() => undefined);
process.exit(process.exitCode);
