import { describe, expect, it } from 'vitest';
import { VirtualClock } from './virtual-clock.js';

describe('VirtualClock', () => {
  it('never goes back when one advance ends during another', async () => {
    const clock = new VirtualClock();
    const readings: number[] = [];
    const read = (): void => void readings.push(clock.monotonic());
    clock.setTimer(read, 50);
    const long = clock.advance(100).then(read);
    const short = clock.advance(10).then(read);
    await Promise.all([long, short]);
    expect(readings).toEqual(readings.toSorted((a, b) => a - b));
    expect(clock.monotonic()).toBe(100);
  });

  it('stays where it is once it is told to stop', async () => {
    const clock = new VirtualClock();
    const told = new AbortController();
    const fired: string[] = [];
    clock.setTimer(() => (fired.push('first'), told.abort()), 40);
    clock.setTimer(() => fired.push('second'), 50);
    await clock.advance(100, told.signal);
    expect(fired).toEqual(['first']);
    expect(clock.monotonic()).toBe(40);
  });
});
