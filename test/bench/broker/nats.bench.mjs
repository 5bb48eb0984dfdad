// What a request over NATS costs, beside the raw client, Moleculer and Nest's own NATS transport on the same server in the
// same run. npm run build:lib && node --expose-gc test/bench/broker/nats.bench.mjs
// Each contender has a caller and a server with a connection each, all in this process.
// The goals are issue 8's: sequential <= 1.15x the raw client; 64 in flight >= Moleculer's rate and >= 1.5x Nest's.
import 'reflect-metadata';
import { spawn } from 'node:child_process';
import { createConnection, createServer } from 'node:net';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, MessagePattern, Transport } from '@nestjs/microservices';
import { connect } from '@nats-io/transport-node';
import { ServiceBroker } from 'moleculer';
import { firstValueFrom } from 'rxjs';
import { goal } from '../harness.js';
import { meshBroker } from './mesh-broker.js';
import { raceRequests } from './request-race.js';

const PAYLOAD = { a: 2, b: 3 };

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function startNats() {
  const port = await freePort();
  const child = spawn('nats-server', ['-a', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' });
  child.once('error', () => {
    console.log('nats-server is not installed; nothing measured.');
    process.exit(0);
  });
  for (;;) {
    const up = await new Promise((resolve) => {
      const socket = createConnection(port, '127.0.0.1');
      socket.once('data', () => (socket.destroy(), resolve(true)));
      socket.once('error', () => resolve(false));
    });
    if (up) return { url: `nats://127.0.0.1:${port}`, stop: () => child.kill() };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const nats = await startNats();
const closers = [() => nats.stop()];

async function mesh() {
  const instance = async (name) => {
    const broker = await meshBroker({ transport: 'nats', servers: nats.url }, { name });
    closers.unshift(() => broker.stop());
    return broker;
  };
  const server = await instance('sums');
  server.serve('add', async ({ a, b }) => a + b);
  const client = await instance('caller');
  await client.waitFor(['add']);
  return () => client.request('add', PAYLOAD);
}

async function raw() {
  const server = await connect({ servers: nats.url });
  const encode = (value) => Buffer.from(JSON.stringify(value));
  const decode = (data) => JSON.parse(Buffer.from(data).toString());
  server.subscribe('raw.add', {
    queue: 'raw',
    callback: (_error, message) => {
      const { a, b } = decode(message.data);
      message.respond(encode(a + b));
    },
  });
  await server.flush();
  const client = await connect({ servers: nats.url });
  closers.unshift(() => Promise.all([client.close(), server.close()]));
  return async () => decode((await client.request('raw.add', encode(PAYLOAD), { timeout: 5_000 })).data);
}

async function moleculer() {
  const options = { logger: false, transporter: nats.url, requestTimeout: 5_000 };
  const server = new ServiceBroker({ ...options, nodeID: 'server' });
  server.createService({ name: 'sums', actions: { add: (ctx) => ctx.params.a + ctx.params.b } });
  const client = new ServiceBroker({ ...options, nodeID: 'client' });
  await Promise.all([server.start(), client.start()]);
  await client.waitForServices('sums');
  closers.unshift(() => Promise.all([client.stop(), server.stop()]));
  return () => client.call('sums.add', PAYLOAD);
}

async function nest() {
  class Sums {
    async add({ a, b }) {
      return a + b;
    }
  }
  Controller()(Sums);
  MessagePattern('nest.add')(Sums.prototype, 'add', Object.getOwnPropertyDescriptor(Sums.prototype, 'add'));
  class Root {}
  Module({ controllers: [Sums] })(Root);
  const transport = { transport: Transport.NATS, options: { servers: [nats.url], queue: 'sums' } };
  const server = await NestFactory.createMicroservice(Root, { ...transport, logger: false });
  await server.listen();
  const client = ClientProxyFactory.create(transport);
  await client.connect();
  closers.unshift(async () => (await client.close(), server.close()));
  return () => firstValueFrom(client.send('nest.add', PAYLOAD));
}

const contenders = { raw: await raw(), mesh: await mesh(), moleculer: await moleculer(), nest: await nest() };
for (const [name, call] of Object.entries(contenders))
  if ((await call()) !== 5) throw new Error(`${name} answers wrongly`);

const alone = await raceRequests('A request over NATS, one after the other', contenders, { calls: 1_500, width: 1 });
goal('NATS, sequential, of the raw client', alone('mesh', 'raw'), 1.15, 'x');
const crowd = await raceRequests('A request over NATS, 64 in flight', contenders, { calls: 6_000, width: 64 });
goal("NATS, 64 in flight, time of Moleculer's", crowd('mesh', 'moleculer'), 1, 'x');
goal("NATS, 64 in flight, time of Nest's", crowd('mesh', 'nest'), 1 / 1.5, 'x');

for (const close of closers) await close();
