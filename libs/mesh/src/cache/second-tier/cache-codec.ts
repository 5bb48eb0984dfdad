/** How values travel to the second tier. `decode(encode(value))` gives an equal value; both throw on what they can't do. */
export interface CacheCodec {
  encode(value: unknown): string;
  decode(text: string): unknown;
}

/** The one key of an object that stands for something JSON does not have: `{ "$mesh": [type, data] }`. */
const MARK = '$mesh';

type Marked = readonly [type: string, data: unknown];

/**
 * JSON that keeps Date, Map, Set, BigInt, Buffer, typed arrays, undefined, NaN, the infinities and -0. Instances of other
 * classes come back as plain objects, as with JSON; functions, symbols and cycles throw.
 */
export const taggedJson: CacheCodec = {
  encode: (value) => JSON.stringify(mark(value, new Set())),
  decode: (text) => {
    const parsed: unknown = JSON.parse(text);
    return text.includes(`"${MARK}"`) ? unmark(parsed) : parsed;
  },
};

function mark(value: unknown, path: Set<object>): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
        ? value
        : tag('number', Object.is(value, -0) ? '-0' : `${value}`);
    case 'bigint':
      return tag('bigint', `${value}`);
    case 'undefined':
      return tag('undefined', 0);
    case 'object':
      return value === null ? null : markObject(value, path);
    default:
      throw new TypeError(`A ${typeof value} can't be sent to the second tier.`);
  }
}

function markObject(value: object, path: Set<object>): unknown {
  if (path.has(value)) throw new TypeError("A value that contains itself can't be sent to the second tier.");
  path.add(value);
  const marked = markParts(value, path);
  path.delete(value);
  return marked;
}

function markParts(value: object, path: Set<object>): unknown {
  const each = (list: Iterable<unknown>): unknown[] => Array.from(list, (item) => mark(item, path));
  if (Array.isArray(value)) return each(value);
  if (value instanceof Date) return tag('date', Number.isNaN(value.getTime()) ? null : value.getTime());
  if (value instanceof Map) return tag('map', each([...value].flat()));
  if (value instanceof Set) return tag('set', each(value));
  if (Buffer.isBuffer(value)) return tag('buffer', value.toString('base64'));
  if (ArrayBuffer.isView(value)) return tag(value.constructor.name, bytesOf(value).toString('base64'));
  if ('toJSON' in value && typeof value.toJSON === 'function') return mark(value.toJSON(), path);
  const entries = Object.entries(value).map(([key, item]) => [key, mark(item, path)] as const);
  if (Object.hasOwn(value, MARK)) return tag('object', entries);
  return Object.fromEntries(entries);
}

function unmark(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(unmark);
  const marked = (value as { [MARK]?: Marked })[MARK];
  if (marked) return restore(marked);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unmark(item)]));
}

function restore([type, data]: Marked): unknown {
  switch (type) {
    case 'number':
      return Number(data);
    case 'bigint':
      return BigInt(data as string);
    case 'undefined':
      return undefined;
    case 'date':
      return new Date((data as number | null) ?? Number.NaN);
    case 'map':
      return new Map(pairs((data as unknown[]).map(unmark)));
    case 'set':
      return new Set((data as unknown[]).map(unmark));
    case 'buffer':
      return Buffer.from(data as string, 'base64');
    case 'object':
      return Object.fromEntries((data as [string, unknown][]).map(([key, item]) => [key, unmark(item)]));
    default:
      return restoreView(type, data as string);
  }
}

function restoreView(type: string, data: string): ArrayBufferView {
  // A buffer of its own, because a pooled one need not start where a view of wider elements may.
  const { buffer } = new Uint8Array(Buffer.from(data, 'base64'));
  const views = {
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array,
    Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView,
  }; // prettier-ignore
  const View = Object.hasOwn(views, type) ? views[type as keyof typeof views] : undefined;
  if (!View) throw new TypeError(`A value of type "${type}" is not known here: it was written by another version.`);
  return new (View as new (buffer: ArrayBuffer) => ArrayBufferView)(buffer);
}

function bytesOf(view: ArrayBufferView): Buffer {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength);
}

function tag(type: string, data: unknown): Readonly<Record<typeof MARK, Marked>> {
  return { [MARK]: [type, data] };
}

function* pairs(flat: readonly unknown[]): Iterable<[unknown, unknown]> {
  for (let i = 0; i < flat.length; i += 2) yield [flat[i], flat[i + 1]];
}
