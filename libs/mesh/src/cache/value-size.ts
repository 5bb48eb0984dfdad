/** How many objects of one value are looked at; what lies beyond is not counted. Sampling makes that rare. */
const MAX_NODES = 5_000;
/** How far down: the stack has to be enough for it. */
const MAX_DEPTH = 200;
/** Longer lists, and objects with more properties, are measured by a sample of this many elements. */
const SAMPLE = 100;
/** The same inside other objects, and deeper down. */
const NESTED_SAMPLES = [SAMPLE, 30, 10];

const OBJECT_BYTES = 32;
const SLOT_BYTES = 8;

/**
 * What a value takes on the heap, in bytes, roughly: within a factor of two for plain data whose elements are alike, and
 * cheap enough to run at every store. Objects that several values share count in each of them.
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
  if (budget.nodes-- <= 0 || path.size >= MAX_DEPTH || path.has(value)) return SLOT_BYTES;

  path.add(value);
  const bytes = OBJECT_BYTES + measureParts(value, budget, path);
  path.delete(value);
  return bytes;
}

function measureParts(value: object, budget: { nodes: number }, path: Set<object>): number {
  const part = (item: unknown): number => SLOT_BYTES + measure(item, budget, path);
  const sample = NESTED_SAMPLES[path.size - 1] ?? 10;
  if (Array.isArray(value)) return sum(value, value.length, sample, part);
  if (value instanceof Map) return sum(value, value.size, sample, ([key, item]) => part(key) + part(item));
  if (value instanceof Set) return sum(value, value.size, sample, part);
  const names = Object.getOwnPropertyNames(value);
  // Those of a large object are its own; those of a small one are shared with its like.
  const nameBytes = names.length > SAMPLE ? part : () => 0;
  // Getters are not run: they may do anything.
  return sum(
    names,
    names.length,
    SAMPLE,
    (name) => nameBytes(name) + part(Object.getOwnPropertyDescriptor(value, name)?.value),
  );
}

/** The sum over all items, from up to twice as many as the sample says, evenly spread. */
function sum<T>(items: Iterable<T>, count: number, sample: number, bytesOf: (item: T) => number): number {
  const step = Math.max(1, Math.floor(count / sample));
  let [bytes, index, measured] = [0, 0, 0];
  for (const item of items) {
    if (index++ % step !== 0) continue;
    bytes += bytesOf(item);
    measured++;
  }
  return measured === 0 ? 0 : (bytes / measured) * count;
}
