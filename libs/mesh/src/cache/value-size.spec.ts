import { describe, expect, it } from 'vitest';
import { estimateBytes } from './value-size.js';

const COUNT = 20_000;
/** On the heap: 280 bytes each. */
const records = Array.from({ length: COUNT }, (_, i) => ({
  id: i,
  name: `name of ${i}`,
  email: `user${i}@example.com`,
  address: { street: `street ${i}`, city: `city ${i}` },
}));
const entries = records.map((record) => [`key ${record.id}`, record] as const);

describe('the estimated size', () => {
  it.each([
    ['an array', records],
    ['a set', new Set(records)],
    ['a map', new Map(entries)],
    ['an object', Object.fromEntries(entries)],
    [
      'pages of rows',
      { pages: Array.from({ length: 100 }, (_, i) => ({ rows: records.slice(i * 200, i * 200 + 200) })) },
    ],
  ])('of many records in %s counts them all', (_, value) => {
    const bytes = estimateBytes(value);
    expect(bytes).toBeGreaterThan(COUNT * 140);
    expect(bytes).toBeLessThan(COUNT * 560);
  });

  it.each(['list', 'object', 'map'])('takes a %s of any depth', (kind) => {
    let value: unknown = null;
    for (let i = 0; i < 100_000; i++)
      value = kind === 'list' ? [value] : kind === 'object' ? { next: value } : new Map([[i, value]]);
    expect(estimateBytes(value)).toBeGreaterThan(1_000);
  });

  it('runs no getter and ends with what contains itself', () => {
    const value = {
      get trap(): never {
        throw new Error('run');
      },
      self: undefined as unknown,
    };
    value.self = value;
    expect(estimateBytes(value)).toBeLessThan(200);
  });
});
