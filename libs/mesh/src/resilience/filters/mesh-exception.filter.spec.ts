import type { AddressInfo } from 'node:net';
import {
  type ArgumentsHost,
  BadRequestException,
  Catch,
  Controller,
  type ExceptionFilter,
  Get,
  type INestApplication,
  Module,
  UseFilters,
} from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { lastValueFrom, type Observable } from 'rxjs';
import { afterEach, describe, expect, it } from 'vitest';
import { IN_PROCESS } from '../../core/in-process.js';
import { MeshError } from '../../core/mesh.error.js';
import { DrainingError } from '../../core/mesh.errors.js';
import { ServiceInfo } from '../../core/service-info.js';
import { markAttempts } from '../error-classification.js';
import { CircuitOpenError } from '../resilience.errors.js';
import { MeshExceptionFilter } from './mesh-exception.filter.js';
import { RemoteError, reviveError, toWire } from './remote.error.js';

@Catch()
class UsersCatchAll implements ExceptionFilter {
  catch(_exception: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<{
      status(code: number): { send(body: unknown): void };
    }>();
    response.status(418).send({ by: 'user' });
  }
}

@Controller()
class Failing {
  @Get('open')
  open(): never {
    throw new CircuitOpenError('payments', 4_200);
  }

  @Get('soon')
  soon(): never {
    throw new CircuitOpenError('payments', 3);
  }

  @Get('draining')
  draining(): never {
    throw new DrainingError('The request');
  }

  @Get('plain')
  plain(): never {
    throw new MeshError('No retry time is known.', { code: 'MESH_X', status: 504 });
  }

  @Get('bad')
  bad(): never {
    throw new BadRequestException('wrong field');
  }

  @Get('retried')
  retried(): never {
    const error = new BadRequestException('still wrong');
    markAttempts(error, 3);
    throw error;
  }

  @Get('unknown')
  unknown(): never {
    throw new Error('secret');
  }

  @Get('foreign')
  foreign(): never {
    // As an error looks that another copy of the package made, on another copy of Nest.
    throw Object.create(Error.prototype, {
      [Symbol.for('nestjs-mesh.error')]: { value: true },
      code: { value: 'MESH_CIRCUIT_OPEN' },
      retryable: { value: true },
      retryAfterMs: { value: 1_500 },
      getStatus: { value: () => 503 },
      getResponse: { value: () => ({ statusCode: 503, code: 'MESH_CIRCUIT_OPEN' }) },
    });
  }

  @Get('own')
  @UseFilters(UsersCatchAll)
  own(): never {
    throw new CircuitOpenError('payments', 4_200);
  }
}

/** Installs the filter as the mesh does: in a constructor, before any filter of the application. */
@Module({ controllers: [Failing] })
class Installing {
  constructor(config: ApplicationConfig, adapter: HttpAdapterHost) {
    config.useGlobalFilters(new MeshExceptionFilter(adapter, new ServiceInfo('orders', 'orders-1')));
  }
}

let app: INestApplication | undefined;
afterEach(async () => {
  await app?.close();
  app = undefined;
});

async function start(adapter: ExpressAdapter | FastifyAdapter, filter?: ExceptionFilter): Promise<string> {
  const module = await Test.createTestingModule({ imports: [Installing] }).compile();
  app = module.createNestApplication(adapter, { logger: false });
  if (filter) app.useGlobalFilters(filter);
  await app.listen(0, '127.0.0.1');
  return `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
}

async function get(url: string) {
  const response = await fetch(url);
  const { status, headers } = response;
  return {
    status,
    retryAfter: headers.get('retry-after'),
    retryable: headers.get('mesh-retryable'),
    connection: headers.get('connection'),
    body: (await response.json()) as Record<string, unknown>,
  };
}

describe.each([
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
])('the exception filter over HTTP on %s', (_name, adapter) => {
  it('answers a mesh error with its status, body and Retry-After in whole seconds', async () => {
    const url = await start(adapter());
    expect(await get(`${url}/open`)).toMatchObject({
      status: 503,
      retryAfter: '5',
      retryable: null,
      body: { statusCode: 503, code: 'MESH_CIRCUIT_OPEN', retryable: true, retryAfterMs: 4_200 },
    });
    expect(await get(`${url}/soon`)).toMatchObject({ retryAfter: '1' });
  });

  it('sends no Retry-After when none is known, and says that a retry is no use', async () => {
    const url = await start(adapter());
    expect(await get(`${url}/plain`)).toMatchObject({ status: 504, retryAfter: null, retryable: 'false' });
  });

  it('asks the client of a draining instance to connect elsewhere', async () => {
    const url = await start(adapter());
    expect(await get(`${url}/draining`)).toMatchObject({ status: 503, retryAfter: '1', connection: 'close' });
  });

  it('leaves other errors to Nest', async () => {
    const url = await start(adapter());
    expect(await get(`${url}/bad`)).toMatchObject({
      status: 400,
      retryable: null,
      body: { statusCode: 400, message: 'wrong field' },
    });
    expect(await get(`${url}/unknown`)).toMatchObject({
      status: 500,
      body: { statusCode: 500, message: 'Internal server error' },
    });
    expect(await get(`${url}/missing`)).toMatchObject({ status: 404 });
  });

  it('marks an error that was already retried, whatever its class', async () => {
    const url = await start(adapter());
    expect(await get(`${url}/retried`)).toMatchObject({ status: 400, retryable: 'false' });
  });

  it('answers for an error of another copy of the package', async () => {
    const url = await start(adapter());
    expect(await get(`${url}/foreign`)).toMatchObject({
      status: 503,
      retryAfter: '2',
      body: { code: 'MESH_CIRCUIT_OPEN' },
    });
  });

  it("yields to the application's own filters, near and global", async () => {
    let url = await start(adapter());
    expect(await get(`${url}/own`)).toMatchObject({ status: 418, body: { by: 'user' } });
    await app!.close();
    url = await start(adapter(), new UsersCatchAll());
    expect(await get(`${url}/open`)).toMatchObject({ status: 418, body: { by: 'user' } });
  });
});

describe('the exception filter for messages', () => {
  const filter = new MeshExceptionFilter(new HttpAdapterHost(), new ServiceInfo('orders', 'orders-1'));

  const hostOf = (context: unknown, third?: unknown) =>
    ({
      getType: () => 'rpc',
      switchToRpc: () => ({ getContext: () => context }),
      getArgByIndex: (index: number) => [{}, context, third][index],
    }) as unknown as ArgumentsHost;

  const answer = (exception: unknown, host: ArgumentsHost): Promise<unknown> =>
    lastValueFrom(filter.catch(exception, host) as Observable<never>).catch((error: unknown) => error);

  it('gives callers in this process the very error', async () => {
    const host = hostOf({ [IN_PROCESS]: true });
    const errors = [new BadRequestException(), new TypeError('x'), new CircuitOpenError('payments', 1)];
    expect(await Promise.all(errors.map((error) => answer(error, host)))).toEqual(errors);
  });

  it('gives remote callers a plain object that survives JSON', async () => {
    const wire = await answer(new CircuitOpenError('payments', 4_200), hostOf({}));
    expect(JSON.parse(JSON.stringify(wire))).toEqual({
      status: 'error',
      code: 'MESH_CIRCUIT_OPEN',
      message: 'Circuit "payments" is open for another 4200 ms; the function was not called.',
      statusCode: 503,
      retryable: true,
      retryAfterMs: 4_200,
      details: { policy: 'payments' },
      origin: 'orders',
    });
  });

  it('leaves the other errors of remote callers to Nest', () => {
    expect(filter.catch(new TypeError('secret'), hostOf({}))).toBeUndefined();
  });

  it('speaks the status codes of gRPC to a gRPC caller', async () => {
    const host = hostOf({}, { getPeer: () => 'peer' });
    expect(await answer(new CircuitOpenError('payments', 1), host)).toEqual({
      code: 14,
      message: expect.stringMatching(/^MESH_CIRCUIT_OPEN: Circuit "payments"/) as string,
    });
  });

  it('leaves contexts that it does not know to Nest', () => {
    const host = { getType: () => 'graphql' } as unknown as ArgumentsHost;
    expect(filter.catch(new CircuitOpenError('payments', 1), host)).toBeUndefined();
  });
});

describe('an error that crossed a transport', () => {
  const received = JSON.parse(JSON.stringify(toWire(new CircuitOpenError('payments', 4_200), 'orders'))) as unknown;

  it('comes back as a mesh error with everything it knew', () => {
    const error = reviveError(received);
    expect(error).toBeInstanceOf(RemoteError);
    expect(error).toMatchObject({ code: 'MESH_CIRCUIT_OPEN', retryable: true, retryAfterMs: 4_200, origin: 'orders' });
    expect((error as RemoteError).getStatus()).toBe(503);
  });

  it('keeps its origin when it is passed on, and is not to be retried a tier up', () => {
    expect(toWire(reviveError(received) as RemoteError, 'gateway')).toMatchObject({
      origin: 'orders',
      retryable: false,
    });
  });

  it('is not to be retried a tier up when it was retried here', () => {
    const error = new CircuitOpenError('payments', 1);
    markAttempts(error, 2);
    expect(toWire(error, 'orders').retryable).toBe(false);
  });

  it.each([undefined, null, 'error', { status: 'error', message: 'x' }, new Error('x'), { code: 'MESH_X' }])(
    'is left alone when it is something else: %s',
    (other) => expect(reviveError(other)).toBe(other),
  );
});
