import { describe, expect, it } from 'vitest';
import { matches } from './partial-match.js';

class Order {
  constructor(readonly id: string) {}
}

describe('what an expected payload matches', () => {
  it.each([
    ['the same', { a: 1 }, { a: 1 }],
    ['what has more', { a: 1, b: { c: 2, d: 3 } }, { b: { c: 2 } }],
    ['lists, item by item', [{ a: 1, b: 2 }, 3], [{ a: 1 }, 3]],
    ['what a matcher of the runner takes', { id: 'x', at: 5 }, { id: expect.any(String), at: expect.closeTo(5) }],
    ['nothing in particular', { a: 1 }, {}],
    ['NaN', Number.NaN, Number.NaN],
    ['null', { a: null }, { a: null }],
    ['the same bytes', { a: Buffer.from('ab') }, { a: new Uint8Array([97, 98]) }],
    ['what an object of a class has', { id: 'x', more: 1 }, new Order('x')],
  ])('is %s', (_, actual, expected) => {
    expect(matches(actual, expected)).toBe(true);
  });

  it.each([
    ['another value', { a: 1 }, { a: 2 }],
    ['what lacks a key', {}, { a: 1 }],
    ['a longer list', [1, 2], [1]],
    ['an object for a list', { 0: 1, length: 1 }, [1]],
    ['null for an object', null, {}],
    ['a text for a number', '1', 1],
    ['longer bytes', Buffer.from('abc'), Buffer.from('ab')],
    ['an object for bytes', { 0: 97 }, Buffer.from('a')],
    ['what a matcher refuses', { id: 5 }, { id: expect.any(String) }],
  ])('is not %s', (_, actual, expected) => {
    expect(matches(actual, expected)).toBe(false);
  });

  it.each([
    ['Date', new Date(0)],
    ['Map', new Map([['a', 1]])],
    ['Set', new Set()],
  ])('is never a %s', (kind, expected) => {
    expect(() => matches({ a: {} }, { a: expected })).toThrow(`No message brings an [object ${kind}]`);
  });
});
