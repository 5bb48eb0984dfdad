import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../testing/virtual-clock.js';
import { Expiring, TimeoutList } from './timeout-list.js';

class Entry extends Expiring {
  expiredAt: number | undefined;
  readonly #clock: VirtualClock;
  constructor(clock: VirtualClock) {
    super();
    this.#clock = clock;
  }
  override expire(): void {
    this.expiredAt = this.#clock.monotonic();
  }
}

describe('TimeoutList', () => {
  it('ends each entry in its 10 ms, never early, whatever was added and removed in between', async () => {
    const plan = fc.record({ afterMs: fc.nat(300), forMs: fc.integer({ min: 1, max: 3_000 }), removed: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.array(plan, { maxLength: 20 }), async (plans) => {
        const clock = new VirtualClock();
        const list = new TimeoutList<Entry>(clock);
        const added: { entry: Entry; dueAt: number; removed: boolean }[] = [];
        for (const { afterMs, forMs, removed } of plans) {
          await clock.advance(afterMs);
          const entry = new Entry(clock);
          const dueAt = clock.monotonic() + forMs;
          list.add(entry, dueAt);
          added.push({ entry, dueAt, removed });
          if (removed) list.remove(entry);
        }
        expect([...list]).toHaveLength(added.filter(({ entry, removed }) => !removed && !entry.expiredAt).length);
        await clock.advance(4_100);
        for (const { entry, dueAt, removed } of added) {
          if (removed) expect(entry.expiredAt).toBeUndefined();
          else {
            expect(entry.expiredAt).toBeGreaterThanOrEqual(dueAt);
            expect(entry.expiredAt).toBeLessThanOrEqual(dueAt + 10);
          }
        }
        expect(clock.pendingTimers).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it('ends everything when it stops, and leaves no timer', () => {
    const clock = new VirtualClock();
    const list = new TimeoutList<Entry>(clock);
    const entries = [1, 2, 3].map((n) => {
      const entry = new Entry(clock);
      list.add(entry, n * 1_000);
      return entry;
    });
    list.expireAll();
    expect(entries.map((entry) => entry.expiredAt)).toEqual([0, 0, 0]);
    expect(clock.pendingTimers).toBe(0);
  });

  it('ends an entry of a tick whose slot was swept meanwhile', async () => {
    const clock = new VirtualClock();
    const list = new TimeoutList<Entry>(clock);
    const [early, late] = [new Entry(clock), new Entry(clock)];
    const dueAt = clock.monotonic() + 5_000;
    list.add(early, dueAt);
    list.remove(early);
    await clock.advance(1_000);
    list.add(late, dueAt);
    await clock.advance(4_020);
    expect(late.expiredAt).toBeGreaterThanOrEqual(dueAt);
  });
});
