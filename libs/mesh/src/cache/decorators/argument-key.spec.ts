import * as fc from 'fast-check';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { argumentKey } from './argument-key.js';
import { readKey } from './read-key.fixture.js';

// They are not for isDeepStrictEqual of Node 22, which the properties below compare with.
const invalidDatesAreEqual = isDeepStrictEqual(new Date(Number.NaN), new Date(Number.NaN));

/** Arguments of every kind that has a key, nested, and prone to look alike. */
const lookalikes = fc.constantFrom<unknown>(
  0, -0, 1, '1', '0', '-0', 1n, -1n, Number.NaN, 'NaN', Infinity, -Infinity, 1e21, 5e-324, null, 'null', undefined,
  'undefined', true, 'true', false, '', 't', 'u', 'n', 'd1;', 's1:1', new Date(0), new Date(1), 'D0;',
  new Date(invalidDatesAreEqual ? Number.NaN : 2),
  [], {}, [undefined], Array(1), Array(2), [[]], [0], [-0], Object.create(null), new Map(), new Set(), new Uint8Array(1),
  Buffer.alloc(1), new Uint8ClampedArray(1), new Float64Array(1), new Float64Array([-0]), new ArrayBuffer(1),
  new DataView(new ArrayBuffer(1)), new BigInt64Array(1), new Set([1]), new Map([[1, 1]]), '\ud800', '\ud801', '\ufffd',
  new URL('http://a/'), 'http://a/', JSON.parse('{"__proto__":1}'), JSON.parse('{"constructor":{"prototype":1}}'),
); // prettier-ignore
const { argument } = fc.letrec<{ argument: unknown; leaf: unknown }>((tie) => ({
  leaf: fc.oneof(
    lookalikes,
    fc.double(),
    fc.bigInt(),
    fc.date({ noInvalidDate: !invalidDatesAreEqual }),
    fc.string({ unit: 'binary', maxLength: 4 }),
    fc.constantFrom('{', '}', '[1:', 's1:a', 'M1:', 'N{', ';', ':').chain((a) => fc.string().map((b) => a + b)),
  ),
  argument: fc.oneof(
    { depthSize: 'small', maxDepth: 4 },
    tie('leaf'),
    fc.array(tie('argument'), { maxLength: 3 }),
    fc.sparseArray(tie('argument'), { maxLength: 4, maxNumElements: 2 }),
    fc.dictionary(
      fc.constantFrom('a', 'b', '1', '', '__proto__', 'constructor', 'length', 'toString'),
      tie('argument'),
      {
        maxKeys: 3,
      },
    ),
    fc.array(fc.tuple(tie('argument'), tie('argument')), { maxLength: 2 }).map((entries) => new Map(entries)),
    fc.array(tie('argument'), { maxLength: 3 }).map((items) => new Set(items)),
    fc.uint8Array({ maxLength: 3 }),
    fc.int16Array({ maxLength: 2 }),
    fc.float64Array({ maxLength: 2 }),
    fc.uint8Array({ maxLength: 3 }).map((bytes) => Buffer.from(bytes)),
    fc.uint8Array({ maxLength: 3 }).map((bytes) => bytes.slice().buffer),
  ),
}));
const argumentLists = fc.array(argument, { maxLength: 3 });

/** Whether two lists hold the same data. Laxer than the key in one respect: the order in Maps and Sets. */
const same = (a: unknown, b: unknown): boolean => isDeepStrictEqual(a, b);

describe('the default key', () => {
  it('can be read back, nothing of the arguments being lost in it', () => {
    let readBack = 0;
    fc.assert(
      fc.property(argumentLists, (args) => {
        const key = argumentKey(args);
        if (key.startsWith('#')) return;
        readBack++;
        // Not toStrictEqual, which trips over a property called "constructor".
        expect(same(readKey(key), args)).toBe(true);
      }),
      { numRuns: 3_000 },
    );
    expect(readBack).toBeGreaterThan(1_500);
  });

  it('is never shared by two different argument lists', () => {
    fc.assert(
      fc.property(argumentLists, argumentLists, (a, b) => {
        if (argumentKey(a) === argumentKey(b)) expect(same(a, b)).toBe(true);
      }),
      { numRuns: 2_000 },
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
    ['a URL with properties', Object.assign(new URL('http://a/'), { x: 1 }), 'a URL with properties'],
    ['bytes with properties', Object.assign(new Uint8Array(1), { x: 1 }), 'a Uint8Array with properties'],
    ['a buffer with properties', Object.assign(Buffer.alloc(1), { x: 1 }), 'a Buffer with properties'],
    ['an ArrayBuffer with properties', Object.assign(new ArrayBuffer(1), { x: 1 }), 'a ArrayBuffer with properties'],
    ['a class of bytes', new (class Secret extends Uint8Array {})(1), 'an instance of Secret'],
    ['a class of maps', new (class Scoped extends Map {})(), 'an instance of Scoped'],
    ['a nested function', { a: [{ b: () => 1 }] }, 'argument 1.a[0].b is a function'],
  ])('is refused for %s', (_, value, reason) => {
    expect(() => argumentKey([1, value])).toThrow(reason);
  });
});
