// What the README says of others, shown on them. What it says of nestjs-mesh has tests of its own, linked there.
import { setTimeout as sleep } from 'node:timers/promises';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientProxyFactory, MessagePattern, Transport } from '@nestjs/microservices';
import { createCache } from 'cache-manager';
import * as cockatiel from 'cockatiel';
import { Keyv } from 'keyv';
import { ServiceBroker } from 'moleculer';
import Opossum from 'opossum';
import { describe, expect, it } from 'vitest';
import { freePort } from '../free-port.js';

/** The part of opossum that is used here; it has no types of its own. */
interface Breaker {
  on(event: string, listener: () => void): void;
  open(): void;
  readonly opened: boolean;
  readonly closed: boolean;
  readonly options: { readonly abortController: AbortController };
  fire(input?: string): Promise<unknown>;
  shutdown(): void;
}
const opossum = (action: (input: string) => Promise<unknown>, options: object): Breaker =>
  new (Opossum as unknown as new (work: unknown, settings: object) => Breaker)(action, options);

/** `pending` when it has not settled within `ms`. */
const within = (ms: number, promise: Promise<unknown>): Promise<unknown> =>
  Promise.race([promise.catch((error: unknown) => error), sleep(ms, 'pending')]);

const never = (): Promise<never> => new Promise(() => {});

describe('opossum', () => {
  it('fails a call that succeeded when a listener throws', async () => {
    const breaker = opossum(async () => 'done', {});
    breaker.on('success', () => {
      throw new Error('a listener of somebody');
    });
    await expect(breaker.fire()).rejects.toThrow('a listener of somebody');
    breaker.shutdown();
  });

  it('is closed by a success that began before it opened', async () => {
    const slow = Promise.withResolvers<string>();
    const breaker = opossum((input) => (input === 'slow' ? slow.promise : Promise.reject(new Error('down'))), {
      resetTimeout: 10,
      errorThresholdPercentage: 40,
    });
    const late = breaker.fire('slow');
    await breaker.fire('x').catch(() => undefined);
    expect(breaker.opened).toBe(true);
    await sleep(30); // half-open now; nobody has probed
    slow.resolve('late');
    await late;
    expect(breaker.closed).toBe(true);
    breaker.shutdown();
  });

  it('aborts every call when one has timed out', async () => {
    const abortController = new AbortController();
    const breaker = opossum((input) => (input === 'hang' ? never() : sleep(60, 'other')), {
      timeout: 20,
      abortController,
    });
    await breaker.fire('hang').catch(() => undefined);
    expect(abortController.signal.aborted).toBe(true); // the one that the next calls are given too
    expect(breaker.options.abortController).toBe(abortController);
    breaker.shutdown();
  });
});

describe('cockatiel', () => {
  it('makes callers wait for the probe of a half-open breaker', async () => {
    const breaker = cockatiel.circuitBreaker(cockatiel.handleAll, {
      halfOpenAfter: 10,
      breaker: new cockatiel.ConsecutiveBreaker(1),
    });
    await breaker.execute(() => Promise.reject(new Error('down'))).catch(() => undefined);
    await sleep(20);
    const probe = Promise.withResolvers<string>();
    const probing = breaker.execute(() => probe.promise);
    expect(
      await within(
        100,
        breaker.execute(async () => 'second'),
      ),
    ).toBe('pending');
    probe.resolve('up');
    await probing;
  });
});

describe('Moleculer', () => {
  it('does not count a timeout as a failure of its circuit breaker', async () => {
    let calls = 0;
    const broker = new ServiceBroker({
      logger: false,
      requestTimeout: 10,
      circuitBreaker: { enabled: true, threshold: 0.5, minRequestCount: 2, windowTime: 60, halfOpenTime: 60_000 },
    });
    broker.createService({
      name: 'slow',
      actions: {
        work: async () => {
          calls++;
          await sleep(15);
        },
      },
    });
    await broker.start();
    for (let call = 0; call < 10; call++) await broker.call('slow.work').catch(() => undefined);
    expect(calls).toBe(10);
    await broker.stop();
  });

  it('gives an event whose handler failed to nobody again', async () => {
    let deliveries = 0;
    const broker = new ServiceBroker({ logger: false, retryPolicy: { enabled: true, retries: 5, delay: 1 } });
    broker.createService({
      name: 'receipts',
      events: {
        'order.placed': () => {
          deliveries++;
          throw new Error('out of paper');
        },
      },
    });
    await broker.start();
    await broker.emit('order.placed').catch(() => undefined);
    await sleep(100);
    expect(deliveries).toBe(1);
    await broker.stop();
  });

  it('stops under a handler that runs', async () => {
    const work = Promise.withResolvers<void>();
    let finished = false;
    const broker = new ServiceBroker({ logger: false });
    broker.createService({
      name: 'slow',
      actions: { work: () => work.promise.then(() => (finished = true)) },
    });
    await broker.start();
    const call = broker.call('slow.work').catch(() => undefined);
    expect(
      await within(
        5_000,
        broker.stop().then(() => 'stopped'),
      ),
    ).toBe('stopped');
    expect(finished).toBe(false);
    work.resolve();
    await call;
  });
});

describe('cache-manager', () => {
  it('answers nobody while its second store hangs', async () => {
    const hanging = new Keyv({ store: { get: never, set: never, delete: never, clear: never, opts: {} } });
    const cache = createCache({ stores: [new Keyv(), hanging] });
    expect(
      await within(
        200,
        cache.wrap('key', async () => 'value', 1_000),
      ),
    ).toBe('pending');
  });
});

describe("Nest's transports", () => {
  @Controller()
  class Slow {
    @MessagePattern('hang')
    hang(): Promise<never> {
      return never();
    }
  }
  @Module({ controllers: [Slow] })
  class SlowModule {}

  it('put no limit on a request, and close under a handler that runs', async () => {
    const options = { host: '127.0.0.1', port: await freePort() };
    const service = await NestFactory.createMicroservice(SlowModule, {
      transport: Transport.TCP,
      options,
      logger: false,
    });
    await service.listen();
    const client = ClientProxyFactory.create({ transport: Transport.TCP, options });
    const answer = new Promise((settle) => {
      client.send('hang', {}).subscribe({ next: settle, error: () => settle('cut off') });
    });

    expect(await within(500, answer)).toBe('pending');
    expect(
      await within(
        5_000,
        service.close().then(() => 'closed'),
      ),
    ).toBe('closed');
    await client.close();
  });
});
