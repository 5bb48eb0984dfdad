import 'reflect-metadata';
import { fileURLToPath } from 'node:url';
import type { Metadata, ServerUnaryCall } from '@grpc/grpc-js';
import { Controller, type INestMicroservice, Logger, Module, Optional, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { GrpcMethod, RpcException, Transport } from '@nestjs/microservices';
import { type CallContext, CallContexts, MeshModule } from 'nestjs-mesh';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { brokerOptionsSchema } from '../../libs/mesh/src/broker/broker.options.js';
import { reachesEveryInstance } from '../../libs/mesh/src/broker/create-broker.js';
import { MeshError } from '../../libs/mesh/src/core/mesh.error.js';
import { type RemoteBroker, remoteBroker } from '../chaos/broker/remote-broker.fixture.js';
import { freePort } from '../free-port.js';

const proto = { package: 'stock', protoPath: fileURLToPath(new URL('./stock.proto', import.meta.url)) };

interface Order {
  readonly sku?: string;
  readonly quantity?: unknown;
  readonly seal?: Buffer;
}

/** What the running service met. */
const seen = {
  metadata: [] as Record<string, unknown>[],
  remainingMs: 0,
  context: undefined as CallContext | undefined,
  entered: gate(),
  open: gate(),
  cancelled: gate(),
};

function gate(): PromiseWithResolvers<void> {
  return Promise.withResolvers<void>();
}

@Controller()
class Inventory {
  constructor(@Optional() private readonly contexts?: CallContexts) {}

  @GrpcMethod('Inventory', 'Reserve')
  reserve({ sku, quantity, seal }: Order, metadata: Metadata, call: ServerUnaryCall<unknown, unknown>): unknown {
    seen.metadata.push(metadata.getMap());
    seen.context = this.contexts?.current();
    seen.remainingMs = Number(call.getDeadline()) - Date.now();
    return { sku, reserved: quantity, seal };
  }

  @GrpcMethod('Inventory', 'Forget')
  forget(): unknown {
    return {};
  }

  @GrpcMethod('Inventory', 'Slow')
  async slow({ sku }: Order, _metadata: Metadata, call: ServerUnaryCall<unknown, unknown>): Promise<unknown> {
    call.once('cancelled', () => seen.cancelled.resolve());
    seen.entered.resolve();
    await seen.open.promise;
    return { sku };
  }

  @GrpcMethod('Inventory', 'Fail')
  fail({ sku, quantity }: Order): never {
    throw new RpcException({ code: Number(quantity), message: sku ?? '' });
  }
}

@Module({ controllers: [Inventory] })
class PlainService {}

@Module({
  imports: [MeshModule.forRoot({ service: { name: 'stock' } }, { logging: false })],
  controllers: [Inventory],
})
class MeshedService {}

describe('methods of gRPC under the broker', () => {
  let url: string;
  let service: INestMicroservice;
  let mesh: RemoteBroker;

  async function serve(module: Type = PlainService): Promise<void> {
    const options = { transport: Transport.GRPC as const, options: { ...proto, url }, logger: false as const };
    service = await NestFactory.createMicroservice(module, options);
    await service.listen();
  }

  async function ask(): Promise<void> {
    mesh = await remoteBroker({ transport: 'nest', via: 'grpc', client: { ...proto, url } });
  }

  async function serveWithMesh(): Promise<void> {
    await mesh.broker.stop();
    await service.close();
    await serve(MeshedService);
    await ask();
  }

  beforeEach(async () => {
    Logger.overrideLogger(false);
    Object.assign(seen, { metadata: [], context: undefined, entered: gate(), open: gate(), cancelled: gate() });
    url = `127.0.0.1:${await freePort()}`;
    await serve();
    await ask();
  });
  afterEach(async () => {
    seen.open.resolve();
    await mesh.broker.stop();
    await service.close();
  });

  it('answer, in the words of JSON', async () => {
    const { broker } = mesh;
    const big = '9007199254740993';
    const order = { sku: 'a', quantity: big, seal: Buffer.from([0, 255]) };
    expect(await broker.request('Inventory.Reserve', order)).toEqual({ sku: 'a', reserved: big, seal: 'AP8=' });
    expect(await broker.request('Inventory.reserve', { sku: 'b' })).toMatchObject({ sku: 'b' });
    expect(await broker.request('Inventory.Forget')).toEqual({});
  });

  it('get deadline, correlation, trace and headers', async () => {
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const context = { correlationId: 'c-1', traceparent, deadlineAt: Date.now() + 3_000 };
    await mesh.contexts.run(context, () => mesh.broker.request('Inventory.Reserve', {}, { headers: { tenant: 'a' } }));
    const [metadata] = seen.metadata;
    expect(metadata).toMatchObject({ 'mesh-correlation-id': 'c-1', traceparent, tenant: 'a' });
    expect(Number(metadata!['mesh-timeout-ms'])).toBeGreaterThan(0);
    expect(Number(metadata!['mesh-timeout-ms'])).toBeLessThanOrEqual(3_000);
    expect(seen.remainingMs).toBeGreaterThan(0);
    expect(seen.remainingMs).toBeLessThanOrEqual(3_000);
  });

  it('run in the context of who asked, where the mesh is in the service', async () => {
    await serveWithMesh();
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const deadlineAt = Date.now() + 3_000;
    await mesh.contexts.run({ correlationId: 'c-1', traceparent, deadlineAt }, () =>
      mesh.broker.request('Inventory.Reserve', {}),
    );
    expect(seen.context).toMatchObject({ correlationId: 'c-1', traceparent });
    expect(seen.context!.deadlineAt! - deadlineAt).toBeLessThan(1_000);
  });

  it.each([
    ['INVALID_ARGUMENT', 3, { getStatus: 400, retryable: false }],
    ['NOT_FOUND', 5, { getStatus: 404, retryable: false }],
    ['RESOURCE_EXHAUSTED', 8, { getStatus: 429, retryable: true }],
    ['DEADLINE_EXCEEDED', 4, { getStatus: 504, retryable: true }],
    ['INTERNAL', 13, { getStatus: 500, retryable: true }],
  ])('fail with an error that has a code: %s', async (name, grpcCode, { getStatus, retryable }) => {
    const failed = mesh.broker.request('Inventory.Fail', { sku: 'sold out', quantity: grpcCode });
    const error = (await failed.catch((reason: unknown) => reason)) as MeshError;
    expect(error).toBeInstanceOf(MeshError);
    expect(error).toMatchObject({ code: `GRPC_${name}`, message: 'sold out', retryable });
    expect(error).toMatchObject({ details: { grpcCode, grpcStatus: name } });
    expect(error.getStatus()).toBe(getStatus);
  });

  it('fail with the code of the mesh where the service has one', async () => {
    const failed = mesh.broker.request('Inventory.Fail', { sku: 'MESH_CIRCUIT_OPEN: closed', quantity: 14 });
    await expect(failed).rejects.toMatchObject({ code: 'MESH_CIRCUIT_OPEN', message: 'closed', retryable: true });
  });

  it('have nobody who answers where the service implements none', async () => {
    await expect(mesh.broker.request('Inventory.Unserved')).rejects.toMatchObject({ code: 'MESH_NO_RESPONDER' });
  });

  it.each([
    ['Stock.Reserve', /no service in the .proto: it has Inventory/],
    ['Inventory.Sell', /no method of Inventory in the .proto: it has Reserve, Forget/],
    ['reserve', /no service/],
  ])('are refused when the .proto has none: %s', async (pattern, message) => {
    const code = 'MESH_PAYLOAD_INVALID';
    await expect(mesh.broker.request(pattern)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  it('are refused when they stream, and with what no metadata or message can be', async () => {
    const { broker } = mesh;
    await expect(broker.request('Inventory.Watch')).rejects.toMatchObject({
      code: 'MESH_CAPABILITY_MISSING',
      message: expect.stringMatching(/streaming method "Inventory.Watch"; call it with ClientGrpc/),
    });
    const invalid = { code: 'MESH_PAYLOAD_INVALID' };
    await expect(broker.request('Inventory.Forget', {}, { headers: { 'a-bin': 'x' } })).rejects.toMatchObject(invalid);
    await expect(broker.request('Inventory.Forget', 'text')).rejects.toMatchObject(invalid);
  });

  it('are cancelled when their time is over', async () => {
    const slow = mesh.broker.request('Inventory.Slow', {}, { timeoutMs: 200 });
    await expect(slow).rejects.toMatchObject({ code: 'MESH_REQUEST_TIMEOUT' });
    await seen.cancelled.promise;
  });

  it('are cancelled when nobody waits any more', async () => {
    const caller = new AbortController();
    const slow = mesh.broker.request('Inventory.Slow', {}, { signal: caller.signal });
    slow.catch(() => undefined);
    await seen.entered.promise;
    caller.abort(new Error('gone'));
    await expect(slow).rejects.toThrow('gone');
    await seen.cancelled.promise;
  });

  it('fail with their outcome when the service goes, and go on when it is back', async () => {
    const { broker } = mesh;
    const slow = broker.request('Inventory.Slow').catch((reason: unknown) => reason);
    await seen.entered.promise;
    const stoppedAt = performance.now();
    await service.close();
    expect(await slow).toMatchObject({
      code: 'MESH_CONNECTION_LOST',
      retryable: true,
      details: { outcome: 'unknown' },
    });
    expect(performance.now() - stoppedAt).toBeLessThan(1_000);
    await expect.poll(() => broker.readHealth()[0]!.status).toBe('down');
    await expect(broker.request('Inventory.Forget')).rejects.toMatchObject({
      code: 'MESH_CONNECTION_LOST',
      details: { outcome: 'unsent' },
    });
    await serve();
    await expect.poll(() => broker.readHealth()[0]!.status, { timeout: 10_000 }).toBe('up');
    expect(await broker.request('Inventory.Forget')).toEqual({});
  });

  it('are all that it can do, and what to do instead is told', async () => {
    const { broker } = mesh;
    const refusal = {
      code: 'MESH_CAPABILITY_MISSING',
      message: expect.stringMatching(/connectMicroservice and @GrpcMethod/),
    };
    await expect(broker.publish('told')).rejects.toMatchObject(refusal);
    await expect(broker.publish('told', 1, { guarantee: 'confirmed' })).rejects.toMatchObject(refusal);
    await expect(broker.subscribe('told', () => undefined)).rejects.toMatchObject(refusal);
    expect(() => broker.serve('a', () => 1)).toThrow(expect.objectContaining(refusal));
    await expect(broker.waitFor(['Inventory.Reserve'])).rejects.toMatchObject({ code: 'MESH_CAPABILITY_MISSING' });
  });

  it('finish and answer when a service with the mesh shuts down', async () => {
    await serveWithMesh();
    const slow = mesh.broker.request('Inventory.Slow', { sku: 'a' });
    slow.catch(() => undefined);
    await seen.entered.promise;
    const closing = service.close();
    // Without the drain the server would be closed, and the caller told, by now.
    await new Promise((resolve) => setTimeout(resolve, 100));
    seen.open.resolve();
    expect(await slow).toMatchObject({ sku: 'a' });
    await closing;
  });
});

describe('the configuration of gRPC', () => {
  const start = (options: Record<string, unknown>) =>
    remoteBroker({ transport: 'nest', via: 'grpc', ...options }, AbortSignal.timeout(300));

  it.each([
    ['no .proto', {}, /has no .proto/],
    ['a server', { client: proto, server: { port: 1 } }, /broker.server can't be had via "grpc": serve gRPC with/],
    ['another package', { client: { ...proto, package: 'shop' } }, /can't be used via "grpc": .*shop/],
    ['a file that is not there', { client: { ...proto, protoPath: '/nowhere.proto' } }, /can't be used via "grpc"/],
    ['nobody who listens', { client: { ...proto, url: '127.0.0.1:1' } }, /No success with the connection via grpc/],
  ])('fails at the start with %s', async (_, options, message) => {
    Logger.overrideLogger(false);
    await expect(start(options)).rejects.toThrow(message);
  });

  it('is known to reach no other instance without a broker', () => {
    expect(reachesEveryInstance(brokerOptionsSchema.parse({ transport: 'nest', via: 'grpc' }))).toBe(false);
  });

  it('names the package that is missing', async () => {
    vi.doMock('@grpc/grpc-js', () => {
      throw new Error('Cannot find package');
    });
    await expect(start({ client: proto })).rejects.toThrow(/needs: npm i @grpc\/grpc-js @grpc\/proto-loader/);
    vi.doUnmock('@grpc/grpc-js');
  });
});
