import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { ResilienceFixture } from '../../../../test/resilience/resilience.fixture.js';

it('lets the breakers of forgotten keys be collected', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const fixture = new ResilienceFixture({ policies: { p: { retry: false, circuitBreaker: { maxKeys: 10 } } } });
  const policy = fixture.manager.policy('p');
  const refs: WeakRef<object>[] = [];
  for (let i = 0; i < 200; i++) {
    const key = `k${i}`;
    // Fail once, so that opossum's part is there too.
    await policy.execute(() => Promise.reject(new Error('down')), { key }).catch(() => undefined);
    refs.push(new WeakRef(policy.breakerFor(key, 0)!));
  }
  for (let turn = 0; turn < 5; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    collect();
  }
  expect(refs.filter((ref) => ref.deref() !== undefined).length).toBeLessThanOrEqual(10);
  await fixture.close();
});
