import { Controller, Get, type INestApplication, Injectable, Module, Post } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { attemptsOf, MESH_TRANSPORT, MeshModule, MessageBroker, Resilient, Retry, ServiceMesh } from 'nestjs-mesh';
import { afterEach, describe, expect, it } from 'vitest';

let ledgerCalls = 0;

/** The innermost tier: what fails. */
@Controller()
class Ledger {
  @Post('ledger')
  book(): never {
    ledgerCalls++;
    throw new Error('disk full');
  }
}

/** The tier next to the failure: the one that is to retry. */
@Injectable()
@Controller()
class Payments {
  @MessagePattern('payments.book', MESH_TRANSPORT)
  @Retry({ maxRetries: 2, delayMs: 1, idempotent: true })
  async book(): Promise<string> {
    ledgerCalls++;
    throw new Error('disk full');
  }

  @MessagePattern('payments.refused', MESH_TRANSPORT)
  @Resilient('payments.refused', { circuitBreaker: { minimumCalls: 1 }, retry: false })
  async refused(): Promise<string> {
    ledgerCalls++;
    throw new Error('disk full');
  }
}

/** The tier above, which would retry as well if nobody told it not to. */
@Controller('orders')
class Orders {
  constructor(private readonly broker: MessageBroker) {}

  @Get()
  @Retry({ maxRetries: 2, delayMs: 1, idempotent: true })
  book(): Promise<string> {
    return this.broker.request('payments.book', {});
  }
}

describe('retries in two tiers', () => {
  let app: INestApplication;
  let url: string;
  afterEach(() => app.close());

  const boot = async (...controllers: (new (...args: never[]) => object)[]) => {
    ledgerCalls = 0;
    @Module({
      imports: [MeshModule.forRoot({ service: { name: 'shop' }, logging: { level: 'silent' } })],
      controllers,
    })
    class App {}
    app = (await Test.createTestingModule({ imports: [App] }).compile()).createNestApplication({ logger: false });
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
    return app.get(ServiceMesh);
  };

  it('happen in the inner one only, through the in-process broker', async () => {
    await boot(Payments, Orders);
    const response = await fetch(`${url}/orders`);
    expect([response.status, response.headers.get('Mesh-Retryable'), ledgerCalls]).toEqual([500, 'false', 3]);
  });

  it('hand the very error of the inner one to the caller, with the attempts that it cost', async () => {
    const mesh = await boot(Payments);
    const error: unknown = await mesh.broker.request('payments.book', {}).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ message: 'disk full' });
    expect(attemptsOf(error)).toBe(3);
  });

  it('do not happen when the inner one has refused the call', async () => {
    const mesh = await boot(Payments);
    const policy = mesh.breakers.declare('orders.refused', { retry: { maxRetries: 2, delayMs: 1 } }, 'this test');
    const call = () =>
      policy
        .execute(() => mesh.broker.request('payments.refused', {}), { idempotent: true })
        .catch((error: unknown) => (error as { code?: string }).code);
    await call();
    const after = ledgerCalls;
    expect([await call(), ledgerCalls]).toEqual(['MESH_CIRCUIT_OPEN', after]);
  });

  it('happen in the outer one only where the inner one does not retry, over HTTP', async () => {
    const mesh = await boot(Ledger);
    mesh.breakers.declare('ledger', { retry: { maxRetries: 2, delayMs: 1 } }, 'this test');
    const response = await mesh.fetch('ledger', `${url}/ledger`, { method: 'POST', idempotent: true });
    expect([response.status, ledgerCalls]).toEqual([500, 3]);
  });

  it('stop at the outer one when the inner one says over HTTP that it has retried', async () => {
    const mesh = await boot(Payments, Orders);
    mesh.breakers.declare('orders', { retry: { maxRetries: 2, delayMs: 1 } }, 'this test');
    const response = await mesh.fetch('orders', `${url}/orders`);
    expect([response.status, ledgerCalls]).toEqual([500, 3]);
  });
});
