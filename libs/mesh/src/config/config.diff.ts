import type { ConfigChange } from '../core/mesh.events.js';
import { displayed } from './config.mask.js';
import { formatPath, type ConfigPath } from './config.path.js';
import { childrenOf, isStructured, lookUp, strictest, type ConfigSchema, type UpdateClass } from './config.schema.js';
import { isSame, isTree, own } from './config.tree.js';

/** One leaf that differs, with its real values. {@link displayedChange} makes it fit to be shown. */
export interface LeafChange {
  readonly path: ConfigPath;
  readonly from: unknown;
  readonly to: unknown;
  readonly update: UpdateClass;
}

/** What differs between two configurations, leaf by leaf. */
export function diff(schema: ConfigSchema, previous: unknown, next: unknown): LeafChange[] {
  return [...leaves([schema], previous, next, [])].map((leaf) => ({ ...leaf, update: classOf(schema, leaf) }));
}

/** A section that is switched on or off is one leaf, and as hard to change as the hardest of its options. */
function classOf(schema: ConfigSchema, { path, from, to }: Omit<LeafChange, 'update'>): UpdateClass {
  const { schemas, update } = lookUp(schema, path);
  const inner = [from, to].filter(isTree).flatMap((tree) => [...leaves(schemas, undefined, tree, path)]);
  const below = inner.filter((leaf) => leaf.path.length > path.length);
  return strictest([update, ...below.map((leaf) => lookUp(schema, leaf.path).update)]);
}

function* leaves(
  schemas: readonly ConfigSchema[],
  from: unknown,
  to: unknown,
  path: ConfigPath,
): Generator<Omit<LeafChange, 'update'>> {
  if (isSame(from, to)) return;
  const keys = schemas.some(isStructured) ? keysOfBoth(from, to) : [];
  if (keys.length === 0) yield { path, from, to };
  for (const key of keys) {
    const children = schemas.flatMap((schema) => childrenOf(schema, key));
    yield* leaves(children, own(from, key), own(to, key), [...path, key]);
  }
}

/** The keys to compare below, or none when one of the two has no inside: `false`, a list, a client. */
function keysOfBoth(from: unknown, to: unknown): string[] {
  if (![from, to].every((value) => value === undefined || isTree(value))) return [];
  return [...new Set([from, to].flatMap((value) => (isTree(value) ? Object.keys(value) : [])))];
}

export function displayedChange(schema: ConfigSchema, { path, from, to, update }: LeafChange): ConfigChange {
  const { schemas, secret } = lookUp(schema, path);
  return { path: formatPath(path), from: displayed(schemas, from, secret), to: displayed(schemas, to, secret), update };
}
