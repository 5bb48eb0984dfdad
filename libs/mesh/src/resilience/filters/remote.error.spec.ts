import type { AddressInfo, Server } from 'node:net';
import { BadRequestException, Controller, type INestMicroservice } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { type ClientProxy, ClientProxyFactory, MessagePattern, Transport } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { lastValueFrom } from 'rxjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ServiceInfo } from '../../core/service-info.js';
import { isCalleeFailure } from '../error-classification.js';
import { BulkheadFullError, CircuitOpenError } from '../resilience.errors.js';
import { MeshExceptionFilter } from './mesh-exception.filter.js';
import { RemoteError, reviveErrors } from './remote.error.js';

@Controller()
class Stock {
  @MessagePattern('open')
  async open(): Promise<never> {
    throw new CircuitOpenError('warehouse', 2_500);
  }

  @MessagePattern('full')
  async full(): Promise<never> {
    throw new BulkheadFullError('warehouse', '5 of 5 calls run');
  }

  @MessagePattern('bad')
  async bad(): Promise<never> {
    throw new BadRequestException('secret');
  }
}

describe('errors over a real transport', () => {
  let app: INestMicroservice;
  let client: ClientProxy;

  beforeAll(async () => {
    const module = await Test.createTestingModule({ controllers: [Stock] }).compile();
    app = module.createNestMicroservice({
      transport: Transport.TCP,
      options: { host: '127.0.0.1', port: 0 },
      logger: false,
    });
    app.useGlobalFilters(new MeshExceptionFilter(new HttpAdapterHost(), new ServiceInfo('stock', 'stock-1')));
    await app.listen();
    const { port } = app.unwrap<Server>().address() as AddressInfo;
    client = ClientProxyFactory.create({ transport: Transport.TCP, options: { host: '127.0.0.1', port } });
  });
  afterAll(async () => {
    await client.close();
    await app.close();
  });

  const ask = (pattern: string): Promise<unknown> =>
    lastValueFrom(client.send<unknown>(pattern, {}).pipe(reviveErrors())).catch((error: unknown) => error);

  it('arrive as mesh errors with code, status, retry time and origin', async () => {
    const error = (await ask('open')) as RemoteError;
    expect(error).toBeInstanceOf(RemoteError);
    expect([error.code, error.getStatus(), error.retryable, error.retryAfterMs, error.origin]).toEqual([
      'MESH_CIRCUIT_OPEN',
      503,
      true,
      2_500,
      'stock',
    ]);
  });

  it('are failures of the callee here, though they were refusals there', async () => {
    expect(isCalleeFailure(await ask('full'))).toBe(true);
    expect(isCalleeFailure(new BulkheadFullError('own', ''))).toBe(false);
  });

  it('say no more than Nest does when they are not of the mesh', async () => {
    expect(await ask('bad')).toEqual({ status: 'error', message: 'Internal server error' });
  });
});
