import { describe, expect, it } from 'vitest';
import { transportFixture } from '../../../../../test/broker/scripted-driver.fixture.js';
import type { SubscribeOptions } from '../../core/broker.port.js';
import { ServiceInfo } from '../../core/service-info.js';
import { VirtualClock } from '../../testing/virtual-clock.js';
import { MemoryDedupeStore } from './memory-dedupe.store.js';

const settled = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Delivers one message id to a subscription of each service; returns who handled it. */
async function handledBy(services: readonly ServiceInfo[], options: SubscribeOptions): Promise<string[]> {
  const store = new MemoryDedupeStore(new VirtualClock(), () => 100);
  const handled: string[] = [];
  for (const service of services) {
    const { broker, driver } = await transportFixture({}, { service, dedupe: () => store });
    await broker.subscribe('n', () => void handled.push(service.instance), {
      ...options,
      name: 'worker',
      dedupe: true,
    });
    driver.deliver('n', { id: 'm-1' });
    await settled();
  }
  return handled;
}

describe('a shared memory of handled messages', () => {
  const [a1, a2, b1] = [new ServiceInfo('a', 'a1'), new ServiceInfo('a', 'a2'), new ServiceInfo('b', 'b1')];

  it('is that of a service for what its instances share', async () => {
    expect(await handledBy([a1, a2, b1], {})).toEqual(['a1', 'b1']);
  });

  it('is that of the group for what several services share', async () => {
    expect(await handledBy([a1, b1], { group: 'accounting' })).toEqual(['a1']);
  });

  it('is that of one instance for what every instance gets', async () => {
    expect(await handledBy([a1, a2], { group: false })).toEqual(['a1', 'a2']);
  });
});

describe('a message that another delivery is handling', () => {
  const worker = { name: 'worker', guarantee: 'atLeastOnce', dedupe: true, maxDeliver: 1 } as const;

  it('goes back to the server until the claim must be over, however often it was delivered', async () => {
    const { broker, driver, told, metrics } = await transportFixture();
    const gate = Promise.withResolvers<void>();
    const [first, second]: [string[], string[]] = [[], []];
    await broker.subscribe('n', () => gate.promise, worker);
    driver.deliver('n', {}, first);
    await settled();
    driver.deliver('n', { attempt: 7 }, second);
    await settled();
    expect(second).toEqual(['retry in 60000']);
    expect(told.map(({ name }) => name)).not.toContain('broker.handler-failed');
    expect(metrics.read('mesh_messages_total{topic="n",direction="deliver",outcome="busy"}')).toBe(1);
    gate.resolve();
    await settled();
    expect(first).toEqual(['ack']);
  });

  it('waits in memory as the attempt that it is, and is handled when the other one failed', async () => {
    const { broker, driver, clock } = await transportFixture();
    const attempts: number[] = [];
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const { guarantee: _, ...plain } = worker;
    await broker.subscribe('n', (_payload, { attempt }) => gates[attempts.push(attempt) - 1]!.promise, plain);
    driver.deliver('n', {});
    driver.deliver('n', {});
    await settled();
    gates[0]!.reject(new Error('no'));
    await settled();
    await clock.advance(60_000);
    await settled();
    expect(attempts).toEqual([1, 1]);
    gates[1]!.resolve();
  });
});
