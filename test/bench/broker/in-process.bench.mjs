// What a request inside the process costs, beside Moleculer's local call and Nest's ClientProxy in the same run.
// npm run build:lib && node --expose-gc test/bench/broker/in-process.bench.mjs
// CPU time, not wall time: nothing here waits for anything, and a shared machine would add its neighbours' work.
// The goals are issue 8's: plain <= 0.6x Moleculer's default call; everything on <= 0.15x Moleculer with the same set
// and <= 0.1x Nest's ClientProxy over an in-process strategy. A ratio is taken inside each round; their median counts.
import 'reflect-metadata';
import { Controller, Module, UseGuards } from '@nestjs/common';
import { ApplicationConfig, ModuleRef, NestFactory } from '@nestjs/core';
import { ClientProxy, MessagePattern, Server } from '@nestjs/microservices';
import { ServiceBroker } from 'moleculer';
import { firstValueFrom, isObservable, lastValueFrom } from 'rxjs';
import { goal, load, median, print } from '../harness.js';
import { clock, contexts, ids, meshBroker, NoMetrics, prometheus } from './mesh-broker.js';

const { connectNestHandlers } = await load('broker/nest/nest-handlers.js');
const { fixedOptions } = await load('core/live-options.js');
const { MeshEvents } = await load('core/mesh.events.js');
const { CircuitBreakerManager } = await load('resilience/circuit-breaker.manager.js');
const { resilienceSchema } = await load('resilience/resilience.options.js');

const ROUNDS = Number(process.env.ROUNDS ?? 15);
const CALLS = Number(process.env.CALLS ?? 20_000);
const PAYLOAD = { a: 2, b: 3 };

const decorate = (decorators, target, key) => {
  const descriptor = Object.getOwnPropertyDescriptor(target.prototype, key);
  for (const decorator of decorators) decorator(target.prototype, key, descriptor);
  Object.defineProperty(target.prototype, key, descriptor);
};

class Sums {
  async add({ a, b }) {
    return a + b;
  }
  async guarded({ a, b }) {
    return a + b;
  }
}
Controller()(Sums);
decorate([MessagePattern('add')], Sums, 'add');
decorate([MessagePattern('guarded'), UseGuards({ canActivate: () => true })], Sums, 'guarded');

async function nestApp(connect) {
  class Root {}
  Module({ controllers: [Sums] })(Root);
  const app = await NestFactory.createApplicationContext(Root, { logger: false });
  await connect(app.get(ModuleRef), app.get(ApplicationConfig));
  return app;
}

async function servingBroker(metrics, policyFor) {
  const broker = await meshBroker({}, { metrics, policyFor });
  await nestApp((moduleRef, config) => connectNestHandlers(moduleRef, config, broker));
  return broker;
}

/** Nest's own way to call a handler in the same process: a strategy, and a client that publishes into it. */
async function nestClient() {
  class LoopStrategy extends Server {
    listen(callback) {
      callback();
    }
    close() {}
    on() {}
    unwrap() {}
    async handle(packet, callback) {
      const handler = this.getHandlerByPattern(packet.pattern);
      this.send(this.transformToObservable(await handler(packet.data, {})), callback);
    }
  }
  class LoopClient extends ClientProxy {
    constructor(strategy) {
      super();
      this.strategy = strategy;
    }
    async connect() {}
    async close() {}
    unwrap() {}
    dispatchEvent() {}
    publish(packet, callback) {
      void this.strategy.handle(packet, callback);
      return () => undefined;
    }
  }
  const strategy = new LoopStrategy();
  class Root {}
  Module({ controllers: [Sums] })(Root);
  const app = await NestFactory.createMicroservice(Root, { strategy, logger: false });
  await app.listen();
  return new LoopClient(strategy);
}

async function moleculer(options) {
  const broker = new ServiceBroker({ logger: false, ...options });
  broker.createService({ name: 'sums', actions: { add: async (ctx) => ctx.params.a + ctx.params.b } });
  await broker.start();
  return broker;
}

// With tracing on, Moleculer makes a span of every call. Ours carries the trace on, and makes no span inside the process.
const everything = {
  circuitBreaker: { enabled: true },
  bulkhead: { enabled: true },
  retryPolicy: { enabled: true },
  requestTimeout: 5_000,
  metrics: { enabled: true, reporter: [] },
  tracing: { enabled: true, exporter: [] },
};

function breakers(metrics) {
  const options = resilienceSchema.parse({
    policies: {
      'broker:add': { retry: { maxRetries: 2 }, bulkhead: {}, circuitBreaker: {}, totalTimeoutMs: 5_000 },
    },
  });
  const events = new MeshEvents();
  return new CircuitBreakerManager(fixedOptions(options), { clock, ids, events, metrics, contexts });
}

async function cases() {
  const sums = new Sums();
  const plain = await servingBroker(new NoMetrics());
  const measured = await servingBroker(prometheus());
  const client = await nestClient();
  const lean = await moleculer({});
  const full = await moleculer(everything);
  const untraced = await moleculer({ ...everything, tracing: false });
  const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const inbound = () => ({ correlationId: 'c', traceparent: trace, deadlineAt: clock.now() + 4_000 });
  const pipeline = client.strategy.getHandlers().get('guarded');
  const list = {
    'direct async call': () => sums.add(PAYLOAD),
    'moleculer, default': () => lean.call('sums.add', PAYLOAD),
    'moleculer, everything on': () => full.call('sums.add', PAYLOAD),
    'moleculer, everything but tracing': () => untraced.call('sums.add', PAYLOAD),
    'nest ClientProxy in-process': () => firstValueFrom(client.send('add', PAYLOAD)),
    // What a request has to do before anything else when its caller has no deadline, or a later one.
    'direct async call in a new call context': () =>
      contexts.run({ correlationId: 'c', deadlineAt: 1 }, () => sums.add(PAYLOAD)),
    "nest's pipeline alone, with a guard": async () => {
      const answer = await pipeline(PAYLOAD, {});
      return isObservable(answer) ? lastValueFrom(answer) : answer;
    },
    'mesh, plain': () => plain.request('add', PAYLOAD),
    'mesh, with metrics': () => measured.request('add', PAYLOAD),
    'mesh, through a guard': () => plain.request('guarded', PAYLOAD),
  };
  const metrics = prometheus();
  const manager = breakers(metrics);
  const protectedBroker = await servingBroker(metrics, (_pattern, name) => manager.find(name));
  const policy = manager.policy('broker:add');
  list['the policy alone'] = () => policy.execute(() => sums.add(PAYLOAD));
  list['mesh, everything on'] = () => protectedBroker.request('add', PAYLOAD);
  // As under an inbound call whose own deadline ends earlier: the handler then runs in the caller's context.
  const inACall = {
    'mesh, plain, in a call with a deadline': list['mesh, plain'],
    'mesh, everything on, in a call with a deadline': list['mesh, everything on'],
    'mesh, through a guard, in a call with a deadline': list['mesh, through a guard'],
  };
  return { list, inACall, inbound };
}

/** A loop of its own for each case: a shared one would measure how the engine copes with many shapes in one place. */
const looped = (call) =>
  new Function('call', 'n', 'return (async () => { for (let i = 0; i < n; i++) await call(); })()').bind(
    undefined,
    call,
  );

const { list, inACall, inbound } = await cases();
const runs = Object.entries(list).map(([name, call]) => [name, looped(call)]);
for (const [name, call] of Object.entries(inACall)) {
  const run = looped(call);
  runs.push([name, (n) => contexts.run(inbound(), () => run(n))]);
}

const times = new Map(runs.map(([name]) => [name, []]));
for (const [, run] of runs) await run(CALLS / 2);
for (let round = 0; round < ROUNDS; round++) {
  for (let i = 0; i < runs.length; i++) {
    const [name, run] = runs[(i + round) % runs.length];
    const before = process.cpuUsage();
    await run(CALLS);
    const { user, system } = process.cpuUsage(before);
    times.get(name).push(((user + system) * 1_000) / CALLS);
  }
}

const ratio = (name, other) => median(times.get(name).map((ns, round) => ns / times.get(other)[round]));
const [plainPeer, fullPeer, proxy] = ['moleculer, default', 'moleculer, everything on', 'nest ClientProxy in-process'];
const rowsBeside = (peer, names) =>
  names.map((name) => ({ name, ns: median(times.get(name)), ratio: ratio(name, peer) }));
const names = [...times.keys()];
const protectedOnes = names.filter((name) => name.startsWith('mesh, everything on'));
print("CPU time of one call, beside Moleculer's default call", rowsBeside(plainPeer, names));
for (const peer of [fullPeer, proxy]) print(`The same beside ${peer}`, rowsBeside(peer, [peer, ...protectedOnes]));

for (const where of [', in a call with a deadline', '']) {
  goal(`plain${where}, x Moleculer's default call`, ratio(`mesh, plain${where}`, plainPeer), 0.6);
  goal(`everything on${where}, x Moleculer with everything on`, ratio(`mesh, everything on${where}`, fullPeer), 0.15);
  goal(`everything on${where}, x Nest's ClientProxy`, ratio(`mesh, everything on${where}`, proxy), 0.1);
}
for (const where of [', in a call with a deadline', '']) {
  const name = `mesh, through a guard${where}`;
  const share = 1 - ratio("nest's pipeline alone, with a guard", name);
  const percent = (share * 100).toFixed(0);
  console.log(`  through a guard${where}: ${median(times.get(name)).toFixed(0)} ns, the mesh's share ${percent} %`);
}
// Moleculer keeps timers.
process.exit();
