import { afterEach, describe, expect, it, vi } from 'vitest';
import { TestClock } from './test-clock.js';

/** Timers of the machine that alone keep the process running. */
const keepingAlive = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;

describe('TestClock', () => {
  const clock = new TestClock();
  afterEach(() => clock.stop());

  it.each([
    ['keeps the process alive while it runs for a timer that would', true, 1],
    ['keeps no process alive while it runs for other timers', false, 0],
  ])('%s', (_, keepAlive, more) => {
    const before = keepingAlive();
    const timer = clock.setTimer(() => undefined, 60_000, { keepAlive });
    clock.run();
    expect(keepingAlive() - before).toBe(more);
    timer.cancel();
  });

  it('moves no further once it is stopped', async () => {
    clock.run(1_000);
    await vi.waitFor(() => expect(clock.monotonic()).toBeGreaterThan(0));
    clock.stop();
    const stoppedAt = clock.monotonic();
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(clock.monotonic()).toBe(stoppedAt);
  });
});
