import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../testing/virtual-clock.js';
import { LOCK_OUT_MS, MAX_WATCHED_ADDRESSES, MAX_WRONG_TOKENS } from './ops.constants.js';
import { WrongTokens } from './wrong-tokens.js';

describe('wrong tokens', () => {
  function fixture() {
    const clock = new VirtualClock();
    const wrong = new WrongTokens(clock);
    const guess = (address: string, times: number): boolean[] =>
      Array.from({ length: times }, () => wrong.note(address));
    return { clock, wrong, guess };
  }

  it('lock their address out when they are too many, and no other', () => {
    const { wrong, guess } = fixture();
    expect(guess('10.0.0.7', MAX_WRONG_TOKENS)).toEqual([...Array(MAX_WRONG_TOKENS - 1).fill(false), true]);
    expect(wrong.lockedOutMs('10.0.0.7')).toBe(LOCK_OUT_MS);
    expect(wrong.lockedOutMs('::ffff:10.0.0.7')).toBe(LOCK_OUT_MS);
    expect(wrong.lockedOutMs('10.0.0.8')).toBe(0);
  });

  it('are forgotten with time', async () => {
    const { clock, wrong, guess } = fixture();
    guess('10.0.0.7', MAX_WRONG_TOKENS - 1);
    await clock.advance(LOCK_OUT_MS);
    expect(guess('10.0.0.7', 1)).toEqual([false]);
    guess('10.0.0.7', MAX_WRONG_TOKENS - 1);
    await clock.advance(LOCK_OUT_MS);
    expect(wrong.lockedOutMs('10.0.0.7')).toBe(0);
  });

  it('are counted for a whole network of IPv6', () => {
    const { wrong, guess } = fixture();
    for (let i = 0; i < MAX_WRONG_TOKENS; i++) guess(`2001:db8:1:2:3:4:5:${i}`, 1);
    expect(wrong.lockedOutMs('2001:db8:1:2::9')).toBe(LOCK_OUT_MS);
    expect(wrong.lockedOutMs('2001:db8:1:3::9')).toBe(0);
  });

  it('are remembered of so many addresses, the latest', () => {
    const { wrong, guess } = fixture();
    guess('10.0.0.7', MAX_WRONG_TOKENS);
    for (let i = 0; i < MAX_WATCHED_ADDRESSES - 1; i++) guess(`10.1.${i >> 8}.${i & 255}`, 1);
    expect(wrong.lockedOutMs('10.0.0.7')).toBe(LOCK_OUT_MS);
    guess('10.2.0.1', 1);
    expect(wrong.lockedOutMs('10.0.0.7')).toBe(0);
  });
});
