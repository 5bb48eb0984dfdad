import { z } from 'zod';
import { isSecretName } from '../core/secrets.js';
import type { ConfigPath } from './config.path.js';

/** Any zod schema. */
export type ConfigSchema = z.core.$ZodType;

/**
 * How a changed value takes effect: `live` at the next call, `swap` by replacing a component under way, `restart` not
 * before the process starts again (updates of it are refused). Set by `.meta({ update })`, inherited by everything below.
 */
export type UpdateClass = 'live' | 'swap' | 'restart';

/** What `.meta()` may say about an option. */
export interface ConfigMeta {
  /** @default that of the section around it, `restart` at the top */
  readonly update?: UpdateClass;
  /** Never shown in errors, diffs and explanations. Inherited by everything below. */
  readonly secret?: boolean;
  readonly description?: string;
  /** What holds when nobody says anything, where the room fills it in itself: for reference and editors. */
  readonly byDefault?: unknown;
}

/** What zod documents for tools like this one, behind the one underscore of its API. */
export function defOf(schema: z.core.$ZodTypes): z.core.$ZodTypes['_zod']['def'] {
  // oxlint-disable-next-line no-underscore-dangle
  return schema._zod.def;
}

const SEVERITY: readonly UpdateClass[] = ['live', 'swap', 'restart'];

/** The class that takes effect last. */
export function strictest(classes: readonly [UpdateClass, ...UpdateClass[]]): UpdateClass {
  return classes.reduce((a, b) => (SEVERITY.indexOf(a) > SEVERITY.indexOf(b) ? a : b));
}

/** The schema inside optional, default, readonly and the like. */
export function innerOf(schema: ConfigSchema): z.core.$ZodTypes {
  let inner = schema as z.core.$ZodTypes;
  for (let next = wrapped(inner); next; next = wrapped(inner)) inner = next as z.core.$ZodTypes;
  return inner;
}

/** What `.meta()` says about the schema, at any level of its wrappers; the outermost wins. */
export function metaOf(schema: ConfigSchema): ConfigMeta {
  let meta: ConfigMeta = {};
  for (let inner: ConfigSchema | undefined = schema; inner; inner = wrapped(inner as z.core.$ZodTypes))
    meta = { ...(z.globalRegistry.get(inner) as ConfigMeta | undefined), ...meta };
  return meta;
}

function wrapped(schema: z.core.$ZodTypes): ConfigSchema | undefined {
  const def = defOf(schema);
  switch (def.type) {
    case 'optional':
    case 'default':
    case 'prefault':
    case 'nullable':
    case 'nonoptional':
    case 'readonly':
    case 'catch':
      return def.innerType;
    case 'lazy':
      return def.getter();
    case 'pipe':
      // What is written is the pipe's input, except after a preprocessing transform, which has no shape of its own.
      return defOf(def.in as z.core.$ZodTypes).type === 'transform' ? def.out : def.in;
    default:
      return undefined;
  }
}

/** The schemas that a value may meet: the members of a union, each unwrapped, or the schema itself. */
export function branchesOf(schema: ConfigSchema): z.core.$ZodTypes[] {
  const inner = innerOf(schema);
  const def = defOf(inner);
  if (def.type === 'union') return def.options.flatMap(branchesOf);
  if (def.type === 'intersection') return [def.left, def.right].flatMap(branchesOf);
  return [inner];
}

/** The schemas of what stands under `key`, one for each branch that knows the key. */
export function childrenOf(schema: ConfigSchema, key: string | number): ConfigSchema[] {
  return branchesOf(schema).flatMap((branch): ConfigSchema[] => {
    const def = defOf(branch);
    if (def.type === 'object') return Object.hasOwn(def.shape, key) ? [def.shape[key]!] : [];
    if (def.type === 'record') return [def.valueType];
    if (def.type === 'array') return [def.element];
    if (def.type === 'tuple')
      return [def.items[Number(key)] ?? def.rest].filter((item) => item !== null && item !== undefined);
    return [];
  });
}

/** The keys that the schema names itself; a record's names are not among them. */
export function keysOf(schema: ConfigSchema): string[] {
  const keys = branchesOf(schema)
    .map(defOf)
    .flatMap((def) => (def.type === 'object' ? Object.keys(def.shape) : []));
  return [...new Set(keys)];
}

/** Whether any branch takes free names. */
export function isRecord(schema: ConfigSchema): boolean {
  return branchesOf(schema)
    .map(defOf)
    .some((def) => def.type === 'record');
}

/** Whether values merge key by key here. Everything else is one leaf: replaced as a whole, and passed on by reference. */
export function isStructured(schema: ConfigSchema): boolean {
  return branchesOf(schema)
    .map(defOf)
    .some((def) => def.type === 'object' || def.type === 'record');
}

/**
 * Whether a key gives its value away as a secret although no schema says so: it sounds like one, and text or anything
 * may stand there. A number of tokens is none.
 */
export function soundsSecret(key: string | number, schemas: readonly ConfigSchema[]): boolean {
  if (!isSecretName(String(key))) return false;
  const types = schemas.flatMap(branchesOf).map((branch) => defOf(branch).type);
  return types.length === 0 || types.some((type) => type === 'string' || type === 'unknown' || type === 'any');
}

/** The schemas at `path` and what `.meta()` says there, with what it inherits from above. */
export function lookUp(
  root: ConfigSchema,
  path: ConfigPath,
): { readonly schemas: readonly ConfigSchema[]; readonly update: UpdateClass; readonly secret: boolean } {
  let schemas: readonly ConfigSchema[] = [root];
  let { update = 'restart', secret = false } = metaOf(root);
  for (const segment of path) {
    schemas = schemas.flatMap((schema) => childrenOf(schema, segment));
    const metas = schemas.map(metaOf);
    const [first, ...others] = metas.flatMap((meta) => meta.update ?? []);
    if (first) update = strictest([first, ...others]);
    secret ||= metas.some((meta) => meta.secret) || soundsSecret(segment, schemas);
  }
  return { schemas, update, secret };
}

/** The keys that may stand here: those that the schema names, and those that a record has in `existing`. */
export function keysAt(schemas: readonly ConfigSchema[], existing: unknown): ReadonlySet<string> {
  const keys = new Set(schemas.flatMap(keysOf));
  if (typeof existing === 'object' && existing !== null && schemas.some(isRecord))
    for (const name of Object.keys(existing)) keys.add(name);
  return keys;
}

/**
 * Every path that can be written: sections and leaves, with a record's names taken from `existing`. A recursive schema
 * is followed as far as `existing` goes, and a little further.
 */
export function* pathsOf(
  schemas: readonly ConfigSchema[],
  existing: unknown,
  above: ConfigPath = [],
): Generator<ConfigPath> {
  if (above.length > MAX_DEPTH && existing === undefined) return;
  for (const key of keysAt(schemas, existing)) {
    const path = [...above, key];
    yield path;
    const children = schemas.flatMap((schema) => childrenOf(schema, key));
    if (children.some(isStructured)) yield* pathsOf(children, valueUnder(existing, key), path);
  }
}

/** What stands under a key of the value's own. */
export function valueUnder(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}

/** A schema without values that is deeper than this is taken for a recursive one. */
export const MAX_DEPTH = 10;
