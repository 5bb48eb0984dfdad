import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../testing/virtual-clock.js';
import { BlockingClock } from '../../../../test/blocking-clock.fixture.js';
import { EventLoopSampler } from './event-loop.sampler.js';

describe('EventLoopSampler', () => {
  it('tells everybody the same samples, and a block once', async () => {
    const clock = new BlockingClock();
    const sampler = new EventLoopSampler(clock);
    const one: number[] = [];
    const two: number[] = [];
    sampler.onSample((delayMs) => one.push(delayMs));
    await clock.advance(20);
    sampler.onSample((delayMs) => two.push(delayMs));
    clock.block(300);
    await clock.advance(40);
    expect(one).toEqual([0, 300, 0]);
    expect(two).toEqual([300, 0]);
  });

  it('rests while nobody listens', async () => {
    const clock = new VirtualClock();
    const sampler = new EventLoopSampler(clock);
    const [first, second] = [sampler.onSample(() => undefined), sampler.onSample(() => undefined)];
    await clock.advance(100);
    first();
    expect(clock.pendingTimers).toBe(1);
    second();
    second();
    expect(clock.pendingTimers).toBe(0);
    sampler.onSample(() => undefined);
    expect(clock.pendingTimers).toBe(1);
  });
});
