import { describe, expect, it } from 'vitest';
import { Subjects, token } from './subjects.js';

describe('subjects', () => {
  it.each([
    ['order.placed', 'order.placed'],
    ['{"cmd":"sum"}', '{"cmd":"sum"}'],
    ['a b', 'a%20b'],
    ['*', '%2A'],
    ['orders.>', 'orders.%3E'],
    ['100%', '100%25'],
    ['a..b', 'a%2E%2Eb'],
    ['.a', '%2Ea'],
    ['žluť', '%C5%BElu%C5%A5'],
    ['🐎', '%F0%9F%90%8E'],
  ])('writes %s as %s', (name, subject) => {
    expect(token(name)).toBe(subject);
  });

  it('never writes two names alike', () => {
    const names = ['a b', 'a%20b', 'a.b', 'a..b', 'a%2Eb', 'a_b', 'a-b', 'ab'];
    const subjects = new Subjects('mesh');
    for (const write of [token, (name: string) => subjects.stream(name), (name: string) => subjects.consumer(name)])
      expect(new Set(names.map(write)).size).toBe(names.length);
  });

  it('names streams and consumers with what a server takes', () => {
    const subjects = new Subjects('mesh');
    expect(subjects.stream(subjects.event('order placed/1'))).toMatch(/^[A-Za-z0-9_-]+$/);
    expect(subjects.consumer('shop.Receipts.onPlaced')).toBe('shop_Receipts_onPlaced');
  });
});
