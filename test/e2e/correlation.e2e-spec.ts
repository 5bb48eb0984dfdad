import { Controller, Get, Inject, Injectable, Module } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { CallContexts, MeshModule, MessageBroker, Resilient, Subscribe } from 'nestjs-mesh';
import { expect, it, vi } from 'vitest';

/** Where each piece of code ran, and with which correlation id. */
const seen: [place: string, correlationId: string | undefined][] = [];

@Injectable()
class Steps {
  @Inject() private readonly contexts!: CallContexts;

  note(place: string): void {
    seen.push([place, this.contexts.current()?.correlationId]);
  }
}

@Controller()
class Orders {
  constructor(
    private readonly broker: MessageBroker,
    private readonly steps: Steps,
  ) {}

  @Get('orders')
  async list(): Promise<string> {
    this.steps.note('route');
    await this.protected();
    await this.broker.request('stock');
    await this.broker.publish('listed', {});
    return 'ok';
  }

  @Resilient('work', { timeoutMs: 1_000 })
  async protected(): Promise<void> {
    this.steps.note('protected method');
  }

  @MessagePattern('stock')
  stock(): number {
    this.steps.note('message handler');
    return 1;
  }
}

@Injectable()
class Listener {
  constructor(private readonly steps: Steps) {}

  @Subscribe('listed')
  onListed(): void {
    this.steps.note('subscriber');
  }
}

@Module({
  imports: [MeshModule.forRoot({ service: { name: 'orders' }, logging: { level: 'silent' } })],
  controllers: [Orders],
  providers: [Steps, Listener],
})
class App {}

it('carries the correlation id from the request through every hop of its work', async () => {
  const app = (await Test.createTestingModule({ imports: [App] }).compile()).createNestApplication({ logger: false });
  await app.listen(0, '127.0.0.1');

  const answer = await fetch(`${await app.getUrl()}/orders`, { headers: { 'x-correlation-id': 'abc-123' } });
  expect(answer.headers.get('x-correlation-id')).toBe('abc-123');
  await vi.waitFor(() => expect(seen.map(([place]) => place)).toContain('subscriber'));
  expect(seen).toEqual([
    ['route', 'abc-123'],
    ['protected method', 'abc-123'],
    ['message handler', 'abc-123'],
    ['subscriber', 'abc-123'],
  ]);
  await app.close();
});
