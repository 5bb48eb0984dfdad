/** How many objects of one value are looked at; what lies beyond is not counted. */
const MAX_NODES = 5_000;
/** Longer arrays are measured by a sample of this many elements. */
const ARRAY_SAMPLE = 100;

const OBJECT_BYTES = 32;
const SLOT_BYTES = 8;

/**
 * What a value takes on the heap, in bytes, roughly: within a factor of two for plain data, and cheap enough to run at
 * every store. Objects that several values share count in each of them.
 */
export function estimateBytes(value: unknown): number {
  const budget = { nodes: MAX_NODES };
  return measure(value, budget, new Set());
}

function measure(value: unknown, budget: { nodes: number }, path: Set<object>): number {
  if (typeof value === 'string') return 16 + value.length;
  if (typeof value === 'bigint') return 24;
  if (typeof value !== 'object' || value === null) return SLOT_BYTES;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return OBJECT_BYTES + value.byteLength;
  if (budget.nodes-- <= 0 || path.has(value)) return SLOT_BYTES;

  path.add(value);
  const bytes = OBJECT_BYTES + measureParts(value, budget, path);
  path.delete(value);
  return bytes;
}

function measureParts(value: object, budget: { nodes: number }, path: Set<object>): number {
  let bytes = 0;
  if (Array.isArray(value)) {
    const step = Math.max(1, Math.floor(value.length / ARRAY_SAMPLE));
    for (let i = 0; i < value.length; i += step) bytes += (SLOT_BYTES + measure(value[i], budget, path)) * step;
    return bytes;
  }
  if (value instanceof Map) {
    for (const [key, item] of value) bytes += 2 * SLOT_BYTES + measure(key, budget, path) + measure(item, budget, path);
    return bytes;
  }
  if (value instanceof Set) {
    for (const item of value) bytes += SLOT_BYTES + measure(item, budget, path);
    return bytes;
  }
  // Getters are not run: they may do anything.
  for (const { value: item } of Object.values(Object.getOwnPropertyDescriptors(value)))
    bytes += SLOT_BYTES + measure(item, budget, path);
  return bytes;
}
