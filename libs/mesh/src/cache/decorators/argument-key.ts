import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';

/** Longer keys go in as a SHA-256 digest. */
const MAX_PLAIN_LENGTH = 200;

/** An argument that has no unambiguous key. */
export class UnkeyableError extends Error {}

/**
 * A string that is the same for two argument lists only if their data is the same: every part carries its type, strings
 * and binary data their length, and keys of plain objects are sorted. What holds more than its visible data - functions,
 * class instances, getters, symbols, cycles - is refused.
 * @throws {UnkeyableError} naming the place of what can't be keyed.
 */
export function argumentKey(args: readonly unknown[]): string {
  const plain = args.map((arg, i) => encode(arg, `argument ${i}`, [])).join('');
  const key = `${args.length}:${plain}`;
  // Lone surrogates would all become one replacement character on the way to a store, so they are hashed as they are.
  if (key.length <= MAX_PLAIN_LENGTH && key.isWellFormed()) return key;
  return `#${createHash('sha256').update(Buffer.from(key, 'utf16le')).digest('base64url')}`;
}

function encode(value: unknown, place: string, path: readonly object[]): string {
  switch (typeof value) {
    case 'undefined':
      return 'u';
    case 'boolean':
      return value ? 't' : 'f';
    case 'number':
      return `d${Object.is(value, -0) ? '-0' : value};`;
    case 'bigint':
      return `i${value};`;
    case 'string':
      return `s${value.length}:${value}`;
    case 'object':
      return value === null ? 'n' : encodeObject(value, place, path);
    default:
      throw new UnkeyableError(`${place} is a ${typeof value}`);
  }
}

function encodeObject(value: object, place: string, path: readonly object[]): string {
  if (path.includes(value)) throw new UnkeyableError(`${place} refers back to itself`);
  const inner = [...path, value];
  const prototype: unknown = Object.getPrototypeOf(value);

  if (prototype === Object.prototype) return `{${encodeProperties(value, place, inner)}}`;
  if (prototype === null) return `N{${encodeProperties(value, place, inner)}}`;
  if (Array.isArray(value) && prototype === Array.prototype) return encodeArray(value, place, inner);
  const binary = encodeBinary(value, prototype, place);
  if (binary !== undefined) return binary;

  const [builtIn, text] = encodeBuiltIn(value, prototype, place, inner);
  if (builtIn && Reflect.ownKeys(value).length > 0)
    throw new UnkeyableError(`${place} is a ${builtIn} with properties of its own`);
  if (text !== undefined) return text;
  throw new UnkeyableError(`${place} is an instance of ${nameOf(prototype)}, which may hold more than it shows`);
}

function encodeProperties(value: object, place: string, path: readonly object[]): string {
  const descriptors = Object.getOwnPropertyDescriptors(value);
  if (Object.getOwnPropertySymbols(value).length > 0) throw new UnkeyableError(`${place} has symbol keys`);
  return Object.keys(descriptors)
    .sort()
    .map((name) => {
      const { value: item, get, set, enumerable } = descriptors[name]!;
      const at = `${place}.${name}`;
      if (get || set || !enumerable) throw new UnkeyableError(`${at} is a getter or hidden`);
      return encode(name, at, path) + encode(item, at, path);
    })
    .join('');
}

function encodeArray(value: readonly unknown[], place: string, path: readonly object[]): string {
  let text = `[${value.length}:`;
  let present = 0;
  for (let i = 0; i < value.length; i++) {
    const descriptor = Object.getOwnPropertyDescriptor(value, i);
    if (descriptor) present++;
    if (descriptor?.get) throw new UnkeyableError(`${place}[${i}] is a getter`);
    text += descriptor ? encode(descriptor.value, `${place}[${i}]`, path) : 'h';
  }
  // One own key more than the elements: "length".
  if (Reflect.ownKeys(value).length > present + 1) throw new UnkeyableError(`${place} is an array with properties`);
  return text;
}

type BinaryType = new (bytes: ArrayBuffer) => ArrayBufferView;

/** The types whose whole data are their bytes, by prototype: a class that extends one of them may hold more. */
const VIEWS: ReadonlyMap<unknown, BinaryType> = new Map<unknown, BinaryType>(
  [
    DataView, Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
    Float64Array, BigInt64Array, BigUint64Array,
  ].map((type) => [type.prototype, type]),
); // prettier-ignore

function encodeBinary(value: object, prototype: unknown, place: string): string | undefined {
  const View = VIEWS.get(prototype);
  const isBuffer = prototype === Buffer.prototype;
  if (!View && !isBuffer && prototype !== ArrayBuffer.prototype) return undefined;
  const bytes = ArrayBuffer.isView(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : Buffer.from(value as ArrayBuffer);
  const name = View?.name ?? (isBuffer ? 'Buffer' : 'ArrayBuffer');
  const copy = new Uint8Array(bytes).buffer;
  const pure = View ? new View(copy) : isBuffer ? Buffer.from(copy) : copy;
  // Listing the own keys of a large array would cost a hundred times its encoding.
  if (!isDeepStrictEqual(value, pure)) throw new UnkeyableError(`${place} is a ${name} with properties of its own`);
  return `B${name}:${bytes.toString('base64')};`;
}

/** The type's name, and the text where it is one of the built-in types that hold nothing but their data. */
function encodeBuiltIn(
  value: object,
  prototype: unknown,
  place: string,
  path: readonly object[],
): readonly [string | undefined, string | undefined] {
  const items = (list: Iterable<unknown>): string => [...list].map((item) => encode(item, place, path)).join('');
  if (value instanceof Date && prototype === Date.prototype) return ['Date', `D${value.getTime()};`];
  if (value instanceof URL && prototype === URL.prototype) return ['URL', `U${encode(value.href, place, path)}`];
  if (value instanceof Map && prototype === Map.prototype) return ['Map', `M${value.size}:${items([...value].flat())}`];
  if (value instanceof Set && prototype === Set.prototype) return ['Set', `S${value.size}:${items(value)}`];
  return [undefined, undefined];
}

function nameOf(prototype: unknown): string {
  return (prototype as { constructor?: { name?: string } }).constructor?.name ?? 'an unnamed class';
}
