import 'reflect-metadata';
import { BadRequestException, Controller, type INestMicroservice, Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  type ClientProxy,
  ClientProxyFactory,
  Ctx,
  EventPattern,
  MessagePattern,
  Payload,
  RpcException,
  TcpContext,
  Transport,
} from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { brokerOptionsSchema } from '../../libs/mesh/src/broker/broker.options.js';
import { reachesEveryInstance } from '../../libs/mesh/src/broker/create-broker.js';
import { NestDriver, type NestDriverOptions } from '../../libs/mesh/src/broker/nest-transport/nest.driver.js';
import { NEST_TRANSPORTS } from '../../libs/mesh/src/broker/nest-transport/nest-transport.options.js';
import { SystemClock } from '../../libs/mesh/src/core/clock.js';
import { SystemIds } from '../../libs/mesh/src/core/ids.js';
import { ServiceInfo } from '../../libs/mesh/src/core/service-info.js';
import { MeshError } from '../../libs/mesh/src/core/mesh.error.js';
import { freePort } from '../free-port.js';
import { type RemoteBroker, remoteBroker } from '../chaos/broker/remote-broker.fixture.js';

const host = '127.0.0.1';
const seen: { readonly pattern: string; readonly payload: unknown; readonly metadata?: Record<string, string> }[] = [];

/** A service of Nest as it is, without the mesh. */
@Controller()
class Plain {
  @MessagePattern('echo')
  echo(@Payload() payload: unknown, @Ctx() context: TcpContext): unknown {
    seen.push({ pattern: 'echo', payload, metadata: context.getMetadata() as Record<string, string> });
    return payload;
  }

  @MessagePattern({ cmd: 'sum', version: 1 })
  sum(numbers: readonly number[]): number {
    return numbers.reduce((a, b) => a + b, 0);
  }

  @MessagePattern('nothing')
  nothing(): void {
    seen.push({ pattern: 'nothing', payload: undefined });
  }

  @MessagePattern('bytes')
  bytes(): Buffer {
    return Buffer.from([0, 255]);
  }

  @MessagePattern('refuses')
  refuses(kind: string): never {
    if (kind === 'text') throw new RpcException('sold out');
    if (kind === 'object') throw new RpcException({ code: 'SOLD_OUT', message: 'sold out', retryable: false });
    if (kind === 'http') throw new RpcException(new BadRequestException(['no id', 'no price']).getResponse());
    throw new Error('secret');
  }

  @EventPattern('told')
  told(payload: unknown): void {
    seen.push({ pattern: 'told', payload });
  }
}

@Module({ controllers: [Plain] })
class PlainModule {}

describe('a service of Nest without the mesh', () => {
  let port: number;
  let plain: INestMicroservice | undefined;
  let mesh: RemoteBroker;

  beforeEach(async () => {
    Logger.overrideLogger(false);
    seen.length = 0;
    port = await freePort();
    const transport = { transport: Transport.TCP as const, options: { host, port } };
    plain = await NestFactory.createMicroservice(PlainModule, { ...transport, logger: false });
    await plain.listen();
    mesh = await remoteBroker({ transport: 'nest', via: 'tcp', client: { host, port } });
  });
  afterEach(async () => {
    await mesh.broker.stop();
    await plain?.close();
  });

  it('answers, and nothing is an answer', async () => {
    const { broker } = mesh;
    expect(await broker.request({ version: 1, cmd: 'sum' }, [1, 2])).toBe(3);
    expect(await broker.request('nothing')).toBeUndefined();
    expect(await broker.request('echo', null)).toBeNull();
    expect(await broker.request('bytes')).toEqual(Buffer.from([0, 255]));
  });

  it('reads deadline, correlation and headers in the metadata of the packet', async () => {
    const { broker, contexts } = mesh;
    const context = { correlationId: 'c-1', deadlineAt: Date.now() + 300 };
    await contexts.run(context, () => broker.request('echo', 1, { headers: { tenant: 'a' } }));
    const [{ metadata }] = seen as [(typeof seen)[number]];
    expect(metadata).toMatchObject({ 'mesh-correlation-id': 'c-1', tenant: 'a' });
    expect(Number(metadata!['mesh-timeout-ms'])).toBeGreaterThan(0);
    expect(Number(metadata!['mesh-timeout-ms'])).toBeLessThanOrEqual(300);
  });

  it('gets events', async () => {
    await mesh.broker.publish('told', { n: 1 });
    await expect.poll(() => seen).toEqual([{ pattern: 'told', payload: { n: 1 } }]);
  });

  it.each([
    ['text', { code: 'MESH_REMOTE', message: 'sold out', retryable: true }],
    ['object', { code: 'SOLD_OUT', message: 'sold out', retryable: false }],
    ['http', { code: 'HTTP_400', message: 'no id; no price', retryable: false }],
    ['bug', { code: 'MESH_REMOTE', message: 'Internal server error', retryable: true }],
  ])('fails with an error that has a code: %s', async (kind, expected) => {
    const error: unknown = await mesh.broker.request('refuses', kind).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(MeshError);
    expect(error).toMatchObject(expected);
  });

  it('runs no handler because it is asked whether it has one', async () => {
    await expect(mesh.broker.waitFor(['nothing'], { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'MESH_REQUEST_TIMEOUT',
    });
    expect(seen).toEqual([]);
  });

  it('is found again when it was away, at once refused in between', async () => {
    const { broker } = mesh;
    await plain!.close();
    plain = undefined;
    await expect.poll(() => broker.readHealth()[0]!.status).toBe('down');
    await expect(broker.request('echo', 1)).rejects.toMatchObject({
      code: 'MESH_CONNECTION_LOST',
      details: { outcome: 'unsent' },
    });
    const options = { transport: Transport.TCP as const, options: { host, port }, logger: false } as const;
    plain = await NestFactory.createMicroservice(PlainModule, options);
    await plain.listen();
    await expect.poll(() => broker.readHealth()[0]!.status, { timeout: 5_000 }).toBe('up');
    expect(await broker.request('echo', 1)).toBe(1);
  });
});

describe('a client of Nest without the mesh', () => {
  let mesh: RemoteBroker;
  let client: ClientProxy;

  beforeEach(async () => {
    const port = await freePort();
    mesh = await remoteBroker({ transport: 'nest', server: { host, port } });
    client = ClientProxyFactory.create({ transport: Transport.TCP, options: { host, port } });
  });
  afterEach(async () => {
    client.close();
    await mesh.broker.stop();
  });

  it('is answered, whatever the order of the keys of its pattern', async () => {
    mesh.broker.serve({ cmd: 'sum', version: 1 }, ([a, b]: [number, number]) => a + b);
    expect(await lastValueFrom(client.send({ version: 1, cmd: 'sum' }, [1, 2]))).toBe(3);
  });

  it('brings its metadata to the handler', async () => {
    client.setOnDispatchHook((packet) => Object.assign(packet, { metadata: { tenant: 'a', depth: 3 } }));
    mesh.broker.serve('tenant', (_payload: unknown, { headers }) => headers);
    expect(await lastValueFrom(client.send('tenant', {}))).toEqual({ tenant: 'a' });
  });

  it('gets errors with code and retryability, as a plain object', async () => {
    mesh.broker.serve('fails', () => {
      throw new MeshError('out of stock', { code: 'MESH_TEST', status: 409, retryable: true });
    });
    await expect(lastValueFrom(client.send('fails', {}))).rejects.toMatchObject({
      code: 'MESH_TEST',
      retryable: true,
      origin: 'shop',
    });
  });

  it('is answered by what runs when the drain begins', async () => {
    const gate = Promise.withResolvers<string>();
    const started = Promise.withResolvers<void>();
    mesh.broker.serve('slow', () => {
      started.resolve();
      return gate.promise;
    });
    const answer = lastValueFrom(client.send('slow', {}));
    await started.promise;
    const drained = mesh.broker.drain({ deadlineAt: Date.now() + 5_000 }).then(() => mesh.broker.stop());
    gate.resolve('finished');
    expect(await answer).toBe('finished');
    await drained;
  });

  it('gets a large answer whole that was written just before the stop', async () => {
    const large = 'x'.repeat(8 * 1024 * 1024);
    const started = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<string>();
    mesh.broker.serve('large', () => {
      started.resolve();
      return gate.promise;
    });
    const answer = lastValueFrom(client.send<string>('large', {}));
    await started.promise;
    const stopped = mesh.broker.drain({ deadlineAt: Date.now() + 5_000 }).then(() => mesh.broker.stop());
    gate.resolve(large);
    expect((await answer).length).toBe(large.length);
    await stopped;
  });
});

describe('a side that is not configured', () => {
  it('refuses handlers and subscriptions at boot when nothing can come in', async () => {
    const port = await freePort();
    const { broker } = await remoteBroker({ transport: 'nest', required: false, client: { host, port } });
    const code = 'MESH_CAPABILITY_MISSING';
    expect(() => broker.serve('a', () => 1)).toThrow(expect.objectContaining({ code }));
    await expect(broker.subscribe('a', () => undefined)).rejects.toMatchObject({ code });
    await broker.stop();
  });

  it('refuses what goes out when there is nobody to send to', async () => {
    const { broker } = await remoteBroker({ transport: 'nest', server: { host, port: await freePort() } });
    const code = 'MESH_CAPABILITY_MISSING';
    await expect(broker.request('a')).rejects.toMatchObject({ code });
    await expect(broker.publish('a')).rejects.toMatchObject({ code });
    await broker.stop();
  });

  it('says so when that is both', async () => {
    await expect(remoteBroker({ transport: 'nest' })).rejects.toThrow(/has no port: set broker.client.port/);
    await expect(remoteBroker({ transport: 'nest', via: 'rmq' })).rejects.toThrow(/has no queue/);
  });

  it('refuses what only the own transport of RabbitMQ or NATS can do', async () => {
    const rmq = (server: Record<string, unknown>) =>
      remoteBroker({ transport: 'nest', via: 'rmq', options: { queue: 'q' }, server });
    await expect(rmq({ noAck: false })).rejects.toThrow(/use the transport "rabbitmq"/);
    await expect(rmq({ wildcards: true })).rejects.toThrow(/use the transport "rabbitmq"/);
    const wildcards = { transport: 'nest', via: 'redis', options: { wildcards: true } } as const;
    await expect(remoteBroker(wildcards)).rejects.toThrow(/server.wildcards can't be had via "redis"/);
  });

  it.each(NEST_TRANSPORTS)('knows without a broker whether every instance is reached: %s', (via) => {
    const options = brokerOptionsSchema.parse({ transport: 'nest', via, options: { port: 1, queue: 'q' } });
    const parts = { clock: new SystemClock(), ids: new SystemIds(), service: new ServiceInfo('shop', 'shop-1') };
    const { capabilities } = new NestDriver(options as NestDriverOptions, parts);
    expect(reachesEveryInstance(options)).toBe(capabilities.broadcast);
  });

  it('names the package that is missing, where Nest would end the process', async () => {
    vi.doMock('mqtt', () => {
      throw new Error('Cannot find package');
    });
    await expect(remoteBroker({ transport: 'nest', via: 'mqtt' })).rejects.toThrow(/via "mqtt" needs: npm i mqtt /);
    vi.doUnmock('mqtt');
  });

  it('does not start on a port that is taken', async () => {
    const port = await freePort();
    const first = await remoteBroker({ transport: 'nest', server: { host, port } });
    await expect(remoteBroker({ transport: 'nest', server: { host, port } })).rejects.toThrow(/EADDRINUSE/);
    await first.broker.stop();
  });

  it('does not start without its peer, and says what was tried', async () => {
    const options = { transport: 'nest', client: { host, port: await freePort() } } as const;
    await expect(remoteBroker(options, AbortSignal.timeout(300))).rejects.toThrow(/via tcp: connect ECONNREFUSED/);
  });
});
