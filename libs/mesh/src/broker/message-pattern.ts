import { PayloadError } from './broker.errors.js';

/**
 * The key under which a pattern's handler is found: strings and numbers as they are, objects as JSON with sorted keys,
 * so that `{ cmd: 'sum', v: 1 }` and `{ v: 1, cmd: 'sum' }` are one pattern, as in Nest.
 */
export function patternKey(pattern: unknown): string {
  if (typeof pattern === 'string') return pattern;
  if (typeof pattern === 'number') return String(pattern);
  if (typeof pattern === 'object' && pattern !== null) return JSON.stringify(sorted(pattern));
  throw new PayloadError(`A message pattern is a string or an object, not ${typeof pattern}.`);
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(sorted);
  const entries = Object.entries(value).map(([key, inner]) => [key, sorted(inner)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
