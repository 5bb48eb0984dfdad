import 'reflect-metadata';
import { BadRequestException, Controller, type INestApplicationContext, Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  ClientProxyFactory,
  Ctx,
  EventPattern,
  MessagePattern,
  type MicroserviceOptions,
  Payload,
  Transport,
} from '@nestjs/microservices';
import { MessageBroker, MeshModule } from 'nestjs-mesh';
import { lastValueFrom } from 'rxjs';
import { guardCommands } from '../../libs/mesh/src/broker/nest-transport/redis-guard.adapter.js';
import { guardChannels } from '../../libs/mesh/src/broker/nest-transport/rmq-guard.adapter.js';
import type { NestServerKind, NestServerUnderTest } from './nest-servers.fixture.js';

/** What a service saw, and what it waits for. */
@Injectable()
export class Seen {
  readonly events: unknown[] = [];
  readonly attempts: unknown[] = [];
  readonly slowStarted = Promise.withResolvers<void>();
  readonly gate = Promise.withResolvers<string>();
}

/** The same handlers with and without the mesh. */
@Controller()
class Handlers {
  constructor(private readonly seen: Seen) {}

  @MessagePattern('echo')
  echo(@Payload() payload: unknown): unknown {
    return payload;
  }

  @MessagePattern('fails')
  fails(): never {
    throw new BadRequestException('no such product');
  }

  @MessagePattern('hangs')
  hangs(): Promise<never> {
    return new Promise(() => undefined);
  }

  @MessagePattern('slow')
  slow(): Promise<string> {
    this.seen.slowStarted.resolve();
    return this.seen.gate.promise;
  }

  @MessagePattern('tenant')
  tenant(@Ctx() context: { headers?: Tenant; getMetadata?(): Tenant | undefined }): string {
    return (context.headers ?? context.getMetadata?.())?.tenant ?? 'unknown';
  }

  @EventPattern('told')
  told(@Payload() payload: unknown): void {
    this.seen.events.push(payload);
  }

  @EventPattern('flaky')
  flaky(@Payload() payload: unknown): void {
    this.seen.attempts.push(payload);
    if (this.seen.attempts.length === 1) throw new Error('not yet');
  }
}

interface Tenant {
  readonly tenant?: string;
}

interface Closable {
  close(): Promise<unknown> | unknown;
}

interface Service {
  readonly app: INestApplicationContext;
  readonly seen: Seen;
}

/** A service, and somebody who asks it. */
export interface Pair extends Service {
  ask(pattern: string, payload?: unknown, headers?: Record<string, string>): Promise<unknown>;
  tell(topic: string, payload: unknown): Promise<unknown>;
  /** Another instance of the service, on the same server. */
  another(): Promise<Service>;
  close(): Promise<void>;
}

export type Side = "Nest's own" | 'the mesh';

export const NEST_TRANSPORT = {
  tcp: Transport.TCP,
  redis: Transport.REDIS,
  nats: Transport.NATS,
  rmq: Transport.RMQ,
  mqtt: Transport.MQTT,
} as const;

/** How long the mesh waits for an answer here; Nest waits for ever. */
export const REQUEST_TIMEOUT_MS = 3_000;
const QUIET = { logger: false, abortOnError: false } as const;

export async function startPair(
  side: Side,
  kind: NestServerKind,
  server: NestServerUnderTest,
  name: string,
): Promise<Pair> {
  const options = { kind, ...server.sides(name) };
  const closing: Closable[] = [];
  const service = async (): Promise<Service> => {
    const app = await (side === 'the mesh' ? meshService(options) : nestService(options));
    closing.unshift(app);
    return { app, seen: app.get(Seen) };
  };
  const first = await service();
  const caller = await (side === 'the mesh' ? meshCaller(options) : nestCaller(options));
  closing.unshift(caller);
  return {
    ...first,
    ask: caller.ask,
    tell: caller.tell,
    another: service,
    close: async () => {
      // What hangs here hangs with Nest; the next case has names of its own.
      for (const { close } of closing.map((one) => ({ close: () => one.close() })))
        await Promise.race([Promise.resolve(close()).catch(() => undefined), delay(5_000)]);
    },
  };
}

interface PairOptions {
  readonly kind: NestServerKind;
  readonly client: Record<string, unknown>;
  readonly server: Record<string, unknown>;
}

type Caller = Pick<Pair, 'ask' | 'tell'> & Closable;

async function nestService({ kind, server }: PairOptions): Promise<INestApplicationContext> {
  @Module({ controllers: [Handlers], providers: [Seen] })
  class Plain {}
  const options = { transport: NEST_TRANSPORT[kind.via], options: server } as MicroserviceOptions;
  const app = await NestFactory.createMicroservice(Plain, { ...options, ...QUIET });
  survive(kind, (app as unknown as { readonly serverInstance: object }).serverInstance);
  await app.listen();
  return app;
}

async function nestCaller({ kind, client }: PairOptions): Promise<Caller> {
  const proxy = ClientProxyFactory.create({ transport: NEST_TRANSPORT[kind.via], options: client } as never);
  let metadata: Record<string, string> | undefined;
  proxy.setOnDispatchHook((packet) => Object.assign(packet, metadata && { metadata }));
  survive(kind, proxy);
  await proxy.connect();
  return {
    ask: (pattern, payload, headers) => {
      metadata = headers;
      return lastValueFrom(proxy.send(pattern, payload));
    },
    tell: (topic, payload) => lastValueFrom(proxy.emit(topic, payload), { defaultValue: undefined }),
    close: () => proxy.close() as unknown,
  };
}

/** What breaks with a connection rejects where nobody looks, and the process of the test would end with it. */
function survive({ via }: NestServerKind, side: object): void {
  if (via === 'rmq') guardChannels(side, () => undefined);
  if (via === 'redis') guardCommands(side);
}

async function meshService({ kind, client, server }: PairOptions): Promise<INestApplicationContext> {
  const subscribe = { backoffMs: [20] };
  const broker = { transport: 'nest' as const, via: kind.via, client, server, subscribe };
  @Module({
    imports: [MeshModule.forRoot({ service: { name: 'points' }, broker }, { logging: false })],
    controllers: [Handlers],
    providers: [Seen],
  })
  class Meshed {}
  return NestFactory.createApplicationContext(Meshed, QUIET);
}

async function meshCaller({ kind, client }: PairOptions): Promise<Caller> {
  const broker = { transport: 'nest', via: kind.via, client, requestTimeoutMs: REQUEST_TIMEOUT_MS } as const;
  @Module({ imports: [MeshModule.forRoot({ service: { name: 'caller' }, broker }, { logging: false })] })
  class Caller {}
  const app = await NestFactory.createApplicationContext(Caller, QUIET);
  const messages = app.get(MessageBroker);
  return {
    ask: (pattern, payload, headers) => messages.request(pattern, payload, headers ? { headers } : {}),
    tell: (topic, payload) => messages.publish(topic, payload),
    close: () => app.close(),
  };
}

export function delay(ms: number): Promise<'late'> {
  return new Promise((resolve) => setTimeout(resolve, ms, 'late'));
}
