import { expect, it } from 'vitest';
import { CountedIds } from './counted-ids.js';

it('never repeats an id, also where the last digits begin anew', () => {
  const counted = new CountedIds('host');
  const ids = Array.from({ length: 2_500 }, () => counted.next());
  expect(new Set(ids).size).toBe(2_500);
  expect(ids.slice(998, 1_002)).toEqual(['host.0.998', 'host.0.999', 'host.1.0', 'host.1.1']);
});
