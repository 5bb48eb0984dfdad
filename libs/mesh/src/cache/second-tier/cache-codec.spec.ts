import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { taggedJson } from './cache-codec.js';

const roundTrip = (value: unknown): unknown => taggedJson.decode(taggedJson.encode(value));

describe('the codec', () => {
  it('gives back what it was given, whatever the data', () => {
    const data = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withNullPrototype: false,
      key: fc.oneof(fc.string(), fc.constant('$mesh'), fc.constant('__proto__')),
    });
    fc.assert(
      fc.property(data, (value) => {
        expect(roundTrip(value)).toStrictEqual(value);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    ['a date', new Date(5)],
    ['an invalid date', new Date(Number.NaN)],
    ['a big integer', 12345678901234567890n],
    ['a buffer', Buffer.from('x')],
    ['floats at an odd offset', new Float64Array(new Float64Array([1, 2, 3]).buffer, 8, 2)],
    ['an object that looks like a mark', { $mesh: ['date', 1] }],
    ['nested collections', new Map([[new Date(1), new Set([{ a: undefined, b: [Number.NaN, -0, -Infinity] }])]])],
  ])('keeps %s', (_, value) => {
    expect(roundTrip(value)).toStrictEqual(value);
  });

  it('turns instances of classes into what JSON makes of them', () => {
    class Money {
      constructor(readonly cents: number) {}
    }
    class Account {
      toJSON(): unknown {
        return { at: new Date(1) };
      }
    }
    expect(roundTrip([new Money(5), new Account()])).toEqual([{ cents: 5 }, { at: new Date(1) }]);
  });

  const cycle: unknown[] = [];
  cycle.push({ cycle });
  it.each([
    ['functions', () => 1],
    ['symbols', Symbol('x')],
    ['cycles', cycle],
  ])('refuses %s', (_, value) => {
    expect(() => taggedJson.encode({ value })).toThrow("can't be sent to the second tier");
  });

  it('refuses types of another version', () => {
    expect(() => taggedJson.decode('{"$mesh":["temporal","x"]}')).toThrow('written by another version');
  });
});
