import type { PolicyDeclaration } from './resilience.options.js';

/** Whether two declarations say the same: plain values by content, predicates by identity. */
export function sameDeclaration(a: PolicyDeclaration, b: PolicyDeclaration): boolean {
  return same(a, b);
}

function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) =>
    same((a as Readonly<Record<string, unknown>>)[key], (b as Readonly<Record<string, unknown>>)[key]),
  );
}
