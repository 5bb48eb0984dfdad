import * as fc from 'fast-check';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { argumentKey } from './argument-key.js';

/** Arguments of every kind that has a key, nested, and prone to look alike. */
const lookalikes = fc.constantFrom<unknown>(
  0, -0, 1, '1', '0', '-0', 1n, Number.NaN, 'NaN', null, 'null', undefined, 'undefined', true, 'true', '', 't', 'u', 'n',
  new Date(0), new Date(1), 'D0;', [], {}, [undefined], Array(1), [[]], new Map(), new Set(), new Uint8Array(1), Buffer.alloc(1),
  new Float64Array(1), new ArrayBuffer(1), new Set([1]), new Map([[1, 1]]), '\ud800', '\ud801', '\ufffd', new URL('http://a/'), 'http://a/',
); // prettier-ignore
const argument = fc.oneof(
  lookalikes,
  fc.string({ unit: 'binary', maxLength: 4 }),
  fc.anything({
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withTypedArray: true,
    withNullPrototype: true,
    withSparseArray: true,
    maxDepth: 3,
    key: fc.constantFrom('a', 'b', '1', ''),
    values: [lookalikes],
  }),
);
const argumentLists = fc.array(argument, { maxLength: 3 });

/** Whether two lists hold the same data. Stricter than deep equality in the one respect where that is lax: order in Maps and Sets. */
const same = (a: unknown, b: unknown): boolean => isDeepStrictEqual(a, b);

describe('the default key', () => {
  it('is never shared by two different argument lists', () => {
    fc.assert(
      fc.property(argumentLists, argumentLists, (a, b) => {
        if (argumentKey(a) === argumentKey(b)) expect(same(a, b)).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });

  it('is never shared by any two of the values that look alike', () => {
    const samples = fc.sample(argumentLists, { numRuns: 400, seed: 7 });
    const byKey = new Map<string, unknown[]>();
    for (const args of samples) {
      const key = argumentKey(args);
      const earlier = byKey.get(key);
      if (earlier) expect(same(earlier, args)).toBe(true);
      byKey.set(key, args);
    }
    expect(byKey.size).toBeGreaterThan(200);
  });

  it('is the same for the same data, whatever the order of an object’s properties', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), argument), (object) => {
        const reversed = Object.create(Object.getPrototypeOf(object)) as Record<string, unknown>;
        for (const [name, value] of Object.entries(object).toReversed())
          Object.defineProperty(reversed, name, { value, enumerable: true, configurable: true, writable: true });
        expect(argumentKey([reversed])).toBe(argumentKey([object]));
      }),
      { numRuns: 300 },
    );
  });

  it('tells nested arguments apart that a flat key would not', () => {
    expect(argumentKey([{ a: { b: 1 }, c: 2 }])).not.toBe(argumentKey([{ a: { b: 1, c: 2 } }]));
    expect(argumentKey(['a', 'b'])).not.toBe(argumentKey(['a,b']));
    expect(argumentKey([['a'], 'b'])).not.toBe(argumentKey([['a', 'b']]));
    expect(argumentKey([undefined])).not.toBe(argumentKey([]));
    expect(argumentKey([{ a: undefined }])).not.toBe(argumentKey([{}]));
    expect(argumentKey([new Map([['a', 1]])])).not.toBe(argumentKey([new Map([['a', 2]])]));
  });

  it('stays short for long arguments', () => {
    const long = 'x'.repeat(10_000);
    expect(argumentKey([long]).length).toBeLessThan(60);
    expect(argumentKey([long])).not.toBe(argumentKey([`${long}x`]));
    expect(argumentKey([`${long}\ud800`])).not.toBe(argumentKey([`${long}\ud801`]));
  });

  class Dto {
    id = 1;
  }
  const cycle: Record<string, unknown> = {};
  cycle['self'] = { cycle };
  it.each([
    ['a function', () => 1, 'argument 1 is a function'],
    ['a symbol', Symbol('x'), 'argument 1 is a symbol'],
    ['a class instance', new Dto(), 'an instance of Dto'],
    ['a promise', Promise.resolve(), 'an instance of Promise'],
    ['an error', new Error('x'), 'an instance of Error'],
    ['a regular expression', /x/, 'an instance of RegExp'],
    ['a weak map', new WeakMap(), 'an instance of WeakMap'],
    ['a boxed number', Object(1), 'an instance of Number'],
    ['a cycle', cycle, 'argument 1.self.cycle refers back to itself'],
    ['a getter', Object.defineProperty({}, 'x', { get: () => 1, enumerable: true }), 'argument 1.x is a getter'],
    ['symbol keys', { [Symbol('x')]: 1 }, 'has symbol keys'],
    ['an array with properties', Object.assign([1], { x: 1 }), 'an array with properties'],
    ['a date with properties', Object.assign(new Date(0), { x: 1 }), 'a Date with properties'],
    ['a nested function', { a: [{ b: () => 1 }] }, 'argument 1.a[0].b is a function'],
  ])('is refused for %s', (_, value, reason) => {
    expect(() => argumentKey([1, value])).toThrow(reason);
  });
});
