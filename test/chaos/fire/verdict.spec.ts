import { describe, expect, it } from 'vitest';
import { STOCKED } from './burning-fleet.js';
import { breakersAreClosed, memoryIsFlat, nothingIsDead, shelvesAgreeWith } from './verdict.js';

describe('the verdict on a fire', () => {
  const measured = (...megabytes: number[]) =>
    megabytes.map((mega, index) => ({ atMs: index * 10_000, heapBytes: mega * 1_000_000 }));
  const flat = { lives: new Map([['gateway-1 (7)', measured(40, 41)]]), failures: [] };
  const all = { orders: 0, mustBeMeasured: ['gateway-1'] };

  it('takes no breaker at all for a broken promise, as an open one', () => {
    const breaker = { instance: 'gateway-1', policy: 'payments.charge' };
    expect(breakersAreClosed([{ ...breaker, state: 'closed' }]).holds).toBe(true);
    expect(breakersAreClosed([{ ...breaker, state: 'open' }]).holds).toBe(false);
    expect(breakersAreClosed([]).holds).toBe(false);
  });

  it('finds each dead letter', () => {
    expect(nothingIsDead(new Map([['mesh.dead.order.placed', 0]])).holds).toBe(true);
    expect(nothingIsDead(new Map([['mesh.dead.order.placed', 1]])).holds).toBe(false);
  });

  it('compares shelves by product, so that one sold twice and one never sold do not cancel out', () => {
    const sold = (productId: string, count: number) => ({ productId, onHand: STOCKED - count, reserved: 0 });
    const charged = {
      charged: ['a', 'b'],
      productOf: new Map([
        ['a', 'kettle'],
        ['b', 'grinder'],
      ]),
    };
    expect(shelvesAgreeWith([sold('kettle', 1), sold('grinder', 1)], charged).holds).toBe(true);
    expect(shelvesAgreeWith([sold('kettle', 2), sold('grinder', 0)], charged).holds).toBe(false);
    expect(shelvesAgreeWith([sold('kettle', 1)], charged).holds).toBe(false);
  });

  it('does not take a heap for flat that grew, could not be read, or was not measured twice', () => {
    expect(memoryIsFlat(flat, all).holds).toBe(true);
    expect(memoryIsFlat({ ...flat, lives: new Map([['gateway-1 (7)', measured(40, 49)]]) }, all).holds).toBe(false);
    expect(memoryIsFlat({ ...flat, failures: ['gateway-1: it tells no size'] }, all).holds).toBe(false);
    expect(memoryIsFlat({ ...flat, lives: new Map([['gateway-1 (7)', measured(40)]]) }, all).holds).toBe(false);
    expect(memoryIsFlat({ ...flat, lives: new Map() }, all).holds).toBe(false);
  });
});
