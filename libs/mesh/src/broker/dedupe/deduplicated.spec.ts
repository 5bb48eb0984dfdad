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
