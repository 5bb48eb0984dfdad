import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../libs/mesh/src/config/config.loader.js';
import { isTree } from '../../../libs/mesh/src/config/config.tree.js';
import { VirtualClock } from '../../../libs/mesh/src/testing/virtual-clock.js';
import { meshSchema } from '../../../libs/mesh/src/mesh.options.js';

const some = (keys: Record<string, fc.Arbitrary<unknown>>) => fc.record(keys, { requiredKeys: [] });
/** Values that are mostly good, now and then `null`, which takes one back, or out of bounds. */
const mostly = (...values: readonly unknown[]) =>
  fc.oneof(
    { arbitrary: fc.constantFrom(...values), weight: 15 },
    { arbitrary: fc.constant(null), weight: 3 },
    { arbitrary: fc.constantFrom<unknown>(0, 'soon', -1), weight: 1 },
  );
const shortMs = mostly(50, 200, 900);
const longMs = mostly(1_000, 5_000, 20_000);

const policy = some({
  timeoutMs: shortMs,
  totalTimeoutMs: fc.oneof({ arbitrary: longMs, weight: 9 }, { arbitrary: shortMs, weight: 1 }),
  retry: fc.oneof(fc.constant(false), some({ maxRetries: mostly(1, 4), delayMs: shortMs })),
  circuitBreaker: some({ openMs: longMs, minimumCalls: mostly(5, 30), windowCalls: mostly(false, 20) }),
  hedge: fc.oneof({ arbitrary: fc.constant(false), weight: 5 }, { arbitrary: fc.constant({}), weight: 1 }),
  extends: mostly('slow'),
});
const defaults = some({ timeoutMs: shortMs, totalTimeoutMs: longMs });
const policies = fc.dictionary(fc.constantFrom('a', 'a.b', 'a.*'), policy, { maxKeys: 2 });

/** Live options, options that need a restart, values that no schema takes, and combinations that can't work. */
const patch = fc.oneof(
  some({ resilience: some({ defaults, policies, groups: some({ slow: policy }) }) }),
  some({ cache: some({ ttlMs: longMs, maxEntries: longMs }), health: some({ everyMs: longMs }) }),
  some({ cache: some({ invalidation: mostly('broker', 'off') }) }),
  some({ lifecycle: some({ shutdown: some({ drainMs: longMs, totalMs: mostly(25_000, 60_000) }) }) }),
  some({ logging: some({ level: mostly('debug', 'info') }), broker: some({ maxInFlight: longMs }) }),
);

/** RFC 7396, once more and on its own. */
function patched(tree: unknown, change: unknown): unknown {
  if (!isTree(change)) return change;
  const result = new Map(Object.entries(isTree(tree) ? tree : {}));
  for (const [key, value] of Object.entries(change)) {
    if (value === null) result.delete(key);
    else if (value !== undefined) result.set(key, patched(result.get(key), value));
  }
  return Object.fromEntries(result);
}

describe('any sequence of updates of the mesh', () => {
  it('leaves what a fresh boot with the same values has, and a refused one changes nothing', async () => {
    let [accepted, refused] = [0, 0];
    await fc.assert(
      fc.asyncProperty(fc.array(patch, { minLength: 1, maxLength: 10 }), async (patches) => {
        const boot = (value: object) =>
          loadConfig({
            schema: meshSchema,
            value: { service: { name: 'orders' }, ...value },
            env: {},
            clock: new VirtualClock(),
          });
        const store = await boot({});
        let runtime: unknown = {};
        for (const each of patches) {
          const before = [store.snapshot, store.generation, store.history, store.explainAll()];
          try {
            await store.update(each, { source: 'test' });
            runtime = patched(runtime, each);
            accepted++;
          } catch {
            expect([store.snapshot, store.generation, store.history, store.explainAll()]).toEqual(before);
            refused++;
          }
        }
        expect(store.snapshot).toEqual((await boot(runtime as object)).snapshot);
        const first = await store.rollback(1, { source: 'test' }).catch(() => undefined);
        if (first) expect(store.snapshot).toEqual((await boot({})).snapshot);
      }),
      { numRuns: 60 },
    );
    // Neither kind is rare, or the property would say little.
    expect(Math.min(accepted, refused)).toBeGreaterThan(30);
  });
});
