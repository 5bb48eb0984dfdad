import { z } from 'zod';
import { MASK } from '../core/secrets.js';
import type { ConfigProblem } from './config.errors.js';
import type { ConfigLayer } from './config.layers.js';
import { formatPath, type ConfigPath } from './config.path.js';
import {
  branchesOf,
  childrenOf,
  defOf,
  isStructured,
  keysAt,
  keysOf,
  lookUp,
  MAX_DEPTH,
  valueUnder,
  type ConfigSchema,
} from './config.schema.js';
import { merge, treeOf, valueAt } from './config.tree.js';
import { readJson } from './json.text.js';
import { nearest } from './nearest.js';

export type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = 'MESH_';
/** Of the options that an error names instead of a section. */
const MAX_ALTERNATIVES = 3;

/**
 * What the environment says: `MESH_RESILIENCE__DEFAULTS__TIMEOUT_MS=800`. Only names with `__` are read, because
 * orchestrators put `MESH_…` variables of their own into containers. Names inside records (policies, topics) are written
 * with `_` for everything but letters and digits, and must exist in what the weaker sources say.
 */
export function readEnvironment(
  schema: ConfigSchema,
  environment: Environment,
  weaker: unknown,
): { readonly layer: ConfigLayer; readonly problems: readonly ConfigProblem[] } {
  const problems: ConfigProblem[] = [];
  const names = new Map<string, string>();
  let tree: unknown = {};
  let meanings: Map<string, ConfigPath[]> | undefined;
  // Sections given as JSON come before what is inside them, and may bring the names that others refer to.
  const variables = Object.keys(environment)
    .filter((name) => name.startsWith(PREFIX) && name.includes('__') && environment[name] !== undefined)
    .sort((a, b) => a.split('__').length - b.split('__').length || (a < b ? -1 : 1));

  for (const variable of variables) {
    const existing = merge([schema], weaker, tree);
    meanings ??= meaningsOf(variablesOf([schema], existing, variables));
    const source = `environment ${variable}`;
    const [path, ...others] = meanings.get(variable) ?? [];
    if (path === undefined) {
      const meant = nearest(variable, meaningsOf(variablesOf([schema], existing)).keys());
      problems.push({
        path: variable,
        rule: 'leads to no option',
        source: 'environment',
        ...(meant && { nearest: meant }),
      });
      continue;
    }
    if (others.length > 0) {
      const all = [path, ...others].map(formatPath).join(' and ');
      problems.push({ path: variable, rule: `may mean ${all}; set them in a file or in the module options`, source });
      continue;
    }
    const { schemas, secret } = lookUp(schema, path);
    const text = environment[variable]!;
    const read = fromText(text, schemas);
    if ('rule' in read) {
      const received = secret ? MASK : `a text of ${text.length} characters`;
      const rule = read.rule + alternatives(variable, schemas, valueAt(existing, path));
      problems.push({ path: formatPath(path), rule, received, source });
      continue;
    }
    tree = merge([schema], tree, treeOf(path, read.value));
    names.set(formatPath(path), variable);
    if (schemas.some(isStructured)) meanings = undefined;
  }
  return { layer: { kind: 'environment', tree, names }, problems };
}

/** A name that the environment may use, with what it means. */
interface Variable {
  readonly name: string;
  readonly path: ConfigPath;
}

/** Every name that may be used; with `wanted`, only those on the way to these names. */
function* variablesOf(
  schemas: readonly ConfigSchema[],
  existing: unknown,
  wanted?: readonly string[],
  above: Variable = { name: '', path: [] },
): Generator<Variable> {
  if (above.path.length > MAX_DEPTH) return;
  const options = new Set(schemas.flatMap(keysOf));
  for (const key of keysAt(schemas, existing)) {
    const segment = options.has(key) ? optionSegment(key) : nameSegment(key);
    const name = above.name === '' ? PREFIX + segment : `${above.name}__${segment}`;
    const here = { name, path: [...above.path, key] };
    yield here;
    if (wanted && !wanted.some((each) => each.startsWith(`${name}__`))) continue;
    const children = schemas.flatMap((schema) => childrenOf(schema, key));
    if (children.some(isStructured)) yield* variablesOf(children, valueUnder(existing, key), wanted, here);
  }
}

function meaningsOf(variables: Iterable<Variable>): Map<string, ConfigPath[]> {
  const meanings = new Map<string, ConfigPath[]>();
  for (const { name, path } of variables) meanings.set(name, [...(meanings.get(name) ?? []), path]);
  return meanings;
}

/** `timeoutMs`, the key of an option, becomes TIMEOUT_MS. */
function optionSegment(key: string): string {
  return nameSegment(key.replace(/([a-z0-9])([A-Z])/g, '$1_$2'));
}

/** `payments.charge`, a name in a record, becomes PAYMENTS_CHARGE. */
function nameSegment(name: string): string {
  return name.toUpperCase().replace(/[^A-Z0-9]/g, '_');
}

/** What else may be written instead of a whole section: ` (or set MESH_CACHE__TTL_MS, …)`. */
function alternatives(variable: string, schemas: readonly ConfigSchema[], existing: unknown): string {
  const names = [...variablesOf(schemas, existing, [], { name: variable, path: [] })].map(({ name }) => name);
  if (names.length === 0) return '';
  const [shown, more] = [names.slice(0, MAX_ALTERNATIVES), names.length > MAX_ALTERNATIVES ? ', …' : ''];
  return ` (or set single options: ${shown.join(', ')}${more})`;
}

/** The reading of `text` that the schema accepts, or the one that gives the clearest error. */
function fromText(
  text: string,
  schemas: readonly ConfigSchema[],
): { readonly value: unknown } | { readonly rule: string } {
  const types = new Set<string>(schemas.flatMap(branchesOf).map((branch) => defOf(branch).type));
  const json = /^\s*[[{]/.test(text) ? readJson(text) : undefined;
  const structure = json && 'value' in json ? json : undefined;
  const isNumber = text.trim() !== '' && Number.isFinite(Number(text));
  const bool = /^(?:true|false)$/i.test(text) ? { value: text.toLowerCase() === 'true' } : undefined;
  const readings = [structure, bool, isNumber ? { value: Number(text) } : undefined, { value: text }].filter(
    (r) => r !== undefined,
  );

  const accepted = readings.find(({ value }) => schemas.some((schema) => z.safeParse(schema, value).success));
  if (accepted) return accepted;
  const wantsObject = types.has('object') || types.has('record');
  const wantsJson = wantsObject || types.has('array') || types.has('tuple');
  if (wantsJson && structure) return structure;
  if (wantsJson && !bool && !types.has('string')) {
    if (json && 'broken' in json) return { rule: `must be valid JSON, and ${json.broken}` };
    return { rule: wantsObject ? 'must be an object, written as JSON' : 'must be a list, written as JSON: ["…", "…"]' };
  }
  if (isNumber && types.has('number')) return { value: Number(text) };
  return bool && types.has('boolean') ? bool : { value: text };
}
