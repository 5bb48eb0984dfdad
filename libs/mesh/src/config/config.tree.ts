import { childrenOf, isStructured, type ConfigSchema } from './config.schema.js';
import type { ConfigPath } from './config.path.js';

/** An object of keys and values, as JSON would give it: not a class instance, not a list. */
export type Tree = Readonly<Record<string, unknown>>;

export function isTree(value: unknown): value is Tree {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value) as unknown;
  return prototype === Object.prototype || prototype === null;
}

/**
 * `above` over `below`, leaf by leaf, in new objects. What the schema does not take apart - functions, class instances,
 * lists, values of `z.custom` and `z.unknown` - is one leaf and passes by reference. `undefined` counts as absent.
 */
export function merge(schemas: readonly ConfigSchema[], below: unknown, above: unknown): unknown {
  if (above === undefined) return below === undefined ? undefined : merge(schemas, undefined, below);
  if (!isTree(above) || !schemas.some(isStructured)) return above;
  const base = isTree(below) ? below : {};
  // fromEntries defines properties, so that a key named __proto__ stays a key.
  return Object.fromEntries(
    [...new Set([...Object.keys(base), ...Object.keys(above)])].flatMap((key) => {
      const children = schemas.flatMap((schema) => childrenOf(schema, key));
      const value = merge(children, own(base, key), own(above, key));
      return value === undefined ? [] : [[key, value]];
    }),
  );
}

/** `patch` over `tree` as in RFC 7396: a `null` removes what stands there. @see https://www.rfc-editor.org/rfc/rfc7396 */
export function mergePatch(schemas: readonly ConfigSchema[], tree: unknown, patch: unknown): unknown {
  if (!isTree(patch) || !schemas.some(isStructured)) return patch;
  const base = isTree(tree) ? tree : {};
  return Object.fromEntries(
    [...new Set([...Object.keys(base), ...Object.keys(patch)])].flatMap((key) => {
      const change = own(patch, key);
      if (change === null) return [];
      const children = schemas.flatMap((schema) => childrenOf(schema, key));
      const value = change === undefined ? own(base, key) : mergePatch(children, own(base, key), change);
      return value === undefined ? [] : [[key, value]];
    }),
  );
}

export function valueAt(tree: unknown, path: ConfigPath): unknown {
  return path.reduce<unknown>(
    (value, segment) => (Array.isArray(value) ? value[Number(segment)] : own(value, String(segment))),
    tree,
  );
}

/** `tree` without what stands at `path`. */
export function without(tree: unknown, path: ConfigPath): unknown {
  const [key, ...rest] = path;
  if (key === undefined || !isTree(tree) || !Object.hasOwn(tree, key)) return tree;
  return Object.fromEntries(
    Object.entries(tree).flatMap(([name, value]) => {
      if (name !== String(key)) return [[name, value]];
      return rest.length === 0 ? [] : [[name, without(value, rest)]];
    }),
  );
}

/** A tree that holds only `value`, at `path`. */
export function treeOf(path: ConfigPath, value: unknown): unknown {
  return path.reduceRight<unknown>((inner, key) => Object.fromEntries([[key, inner]]), value);
}

/** Whether both hold the same: trees and lists by content, everything else by identity. */
export function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => isSame(item, b[i]));
  if (!isTree(a) || !isTree(b)) return false;
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) => isSame(own(a, key), own(b, key)));
}

/** `next`, frozen, with every part that is the same in `previous` taken from there, so that identity tells what changed. */
export function reuse(schemas: readonly ConfigSchema[], previous: unknown, next: unknown): unknown {
  if (isSame(previous, next)) return previous;
  if (!isTree(previous) || !isTree(next) || !schemas.some(isStructured)) return next;
  const entries = Object.entries(next).map(([key, value]) => {
    const children = schemas.flatMap((schema) => childrenOf(schema, key));
    return [key, reuse(children, own(previous, key), value)];
  });
  return Object.freeze(Object.fromEntries(entries));
}

/**
 * Freezes, in copies of their own, the parts that the schema takes apart, lists included. What it does not know from
 * inside stays the caller's: it is neither copied nor frozen.
 */
export function frozen(schemas: readonly ConfigSchema[], value: unknown): unknown {
  const children = (key: string | number): ConfigSchema[] => schemas.flatMap((schema) => childrenOf(schema, key));
  if (Array.isArray(value))
    return children(0).length > 0 ? Object.freeze(value.map((item, i) => frozen(children(i), item))) : value;
  if (!isTree(value) || !schemas.some(isStructured)) return value;
  return Object.freeze(
    Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, frozen(children(key), inner)])),
  );
}

/** The value under a key of the tree's own; never what an object inherits. */
export function own(value: unknown, key: string): unknown {
  return isTree(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}
