import { expect, it } from 'vitest';
import { SystemIds } from './ids.js';

it('never repeats an id, also where a batch ends, and writes each as a UUID', () => {
  const [one, other] = [new SystemIds(), new SystemIds()];
  const ids = Array.from({ length: 1_000 }, () => [one.next(), other.next()]).flat();
  expect(new Set(ids).size).toBe(2_000);
  for (const id of ids) expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
});
