import { z } from 'zod';
import type { ConfigProblem } from './config.errors.js';
import { layerOf, sourceOf, type ConfigLayer } from './config.layers.js';
import { masked, shown } from './config.mask.js';
import { formatPath, type ConfigPath } from './config.path.js';
import { childrenOf, keysOf, lookUp, metaOf, pathsOf, type ConfigSchema } from './config.schema.js';
import { valueAt } from './config.tree.js';
import { nearest } from './nearest.js';

type Issue = z.core.$ZodIssue;

/** What is put into the configuration by mistake, by path, with where it belongs: `{ components: 'pass it beside …' }`. */
export type MisplacedOptions = Readonly<Record<string, string>>;

/** Turns what zod found in the merged value into problems that name value, rule, source and what was probably meant. */
export class ProblemReport {
  readonly #defaultMessage = z.locales.en().localeError;

  constructor(
    private readonly schema: ConfigSchema,
    private readonly misplaced: MisplacedOptions,
  ) {}

  of(issues: readonly Issue[], merged: unknown, layers: readonly ConfigLayer[]): ConfigProblem[] {
    return issues.flatMap((issue) => this.#problems(issue, [], merged, layers));
  }

  #problems(issue: Issue, above: ConfigPath, merged: unknown, layers: readonly ConfigLayer[]): ConfigProblem[] {
    const path = [...above, ...issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key))];
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => this.#unknownKey([...path, key], merged, layers));
    if (issue.code === 'invalid_union' && issue.errors.length > 0) {
      const branch = likelyBranch(issue.errors);
      if (branch) return branch.flatMap((inner) => this.#problems(inner, path, merged, layers));
    }
    const value = valueAt(merged, path);
    const { schemas, secret } = lookUp(this.schema, path);
    const layer = layerOf(layers, path);
    const meant = typeof value === 'string' ? nearest(value, allowedValues(issue).map(String)) : undefined;
    return [
      {
        path: formatPath(path) || 'configuration',
        rule: this.#rule(issue, value, schemas),
        ...(value !== undefined && { received: shown(masked(schemas, value, secret)) }),
        ...(meant !== undefined && { nearest: JSON.stringify(meant) }),
        ...(value !== undefined && layer && { source: sourceOf(layer, path) }),
      },
    ];
  }

  #unknownKey(path: ConfigPath, merged: unknown, layers: readonly ConfigLayer[]): ConfigProblem {
    const key = String(path.at(-1));
    const text = formatPath(path);
    const layer = layerOf(layers, path);
    const source = layer && { source: sourceOf(layer, path) };
    const elsewhere = this.misplaced[text];
    if (elsewhere !== undefined) return { path: text, rule: `does not belong here: ${elsewhere}`, ...source };

    const parent = path.slice(0, -1);
    const sibling = nearest(key, lookUp(this.schema, parent).schemas.flatMap(keysOf));
    const meant = sibling === undefined ? this.#sameKeyElsewhere(key, merged) : formatPath([...parent, sibling]);
    return { path: text, rule: 'is not an option', ...(meant !== undefined && { nearest: meant }), ...source };
  }

  /** The one other place where the key is valid: right name, wrong section. */
  #sameKeyElsewhere(key: string, merged: unknown): string | undefined {
    const places = [...pathsOf([this.schema], merged)].filter((path) => path.at(-1) === key);
    return places.length === 1 ? formatPath(places[0]!) : undefined;
  }

  #rule(issue: Issue, value: unknown, schemas: readonly ConfigSchema[]): string {
    const isDefault = issue.message === this.#defaultMessage({ ...issue, input: value } as z.core.$ZodRawIssue);
    // More follows it in the line: received, nearest, source.
    if (!isDefault) return issue.message.replace(/\.$/, '');
    if (value === undefined && issue.code !== 'custom') return `is required: ${expectation(issue)}${withKeys(schemas)}`;
    if (issue.code === 'custom') {
      const description = schemas.map((schema) => metaOf(schema).description).find((text) => text !== undefined);
      return description === undefined ? 'is not valid' : `is not valid; it means: ${description.replace(/\.$/, '')}`;
    }
    return `must be ${expectation(issue)}`;
  }
}

/** The union member that was meant: the one whose kind of value it is, with the fewest mistakes. */
function likelyBranch(branches: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  return branches
    .filter((issues) => !issues.some((issue) => issue.path.length === 0 && isOfOtherKind(issue)))
    .toSorted((a, b) => a.length - b.length)[0];
}

function isOfOtherKind(issue: Issue): boolean {
  return issue.code === 'invalid_type' || issue.code === 'invalid_value' || issue.code === 'custom';
}

/** What an issue asks for, to stand after "must be". */
function expectation(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return KINDS[issue.expected] ?? `a ${issue.expected}`;
    case 'too_small':
      return size(issue.origin, issue.inclusive === false ? 'more than' : 'at least', issue.minimum);
    case 'too_big':
      return size(issue.origin, issue.inclusive === false ? 'less than' : 'at most', issue.maximum);
    case 'not_multiple_of':
      return `a multiple of ${issue.divisor}`;
    case 'invalid_format':
      if (issue.format === 'url' && issue.pattern) return `a URL whose protocol matches ${issue.pattern}`;
      return (
        FORMATS[issue.format] ?? (issue.pattern ? `text that matches ${issue.pattern}` : `a valid ${issue.format}`)
      );
    case 'invalid_value':
      return oneOf(issue.values.map((value) => (typeof value === 'string' ? JSON.stringify(value) : String(value))));
    case 'invalid_union': {
      const values = allowedValues(issue);
      if (values.length > 0) return oneOf(values.map((value) => JSON.stringify(value)));
      return oneOf([...new Set(issue.errors.flatMap((errors) => errors.slice(0, 1).map(expectation)))]);
    }
    case 'invalid_key':
      return 'under another name: this one is not allowed';
    default:
      return 'valid';
  }
}

/** ` with name, version`: the keys that a missing object can't do without. */
function withKeys(schemas: readonly ConfigSchema[]): string {
  const required = schemas.flatMap((schema) =>
    keysOf(schema).filter((key) => childrenOf(schema, key).every((child) => !z.safeParse(child, undefined).success)),
  );
  return required.length === 0 ? '' : ` with ${required.join(', ')}`;
}

function size(origin: string, bound: string, limit: number | bigint): string {
  const unit = { string: 'character', array: 'item', set: 'item', map: 'entry' }[origin];
  if (unit === undefined) return `${bound} ${limit}`;
  return `${bound} ${limit} ${Number(limit) === 1 ? unit : unit.replace(/y$/, 'ie') + 's'} long`;
}

function oneOf(texts: readonly string[]): string {
  if (texts.length <= 1) return texts.join('');
  return texts.length === 2 ? texts.join(' or ') : `one of ${texts.join(', ')}`;
}

function allowedValues(issue: Issue): unknown[] {
  if (issue.code === 'invalid_value') return [...issue.values];
  if (issue.code !== 'invalid_union') return [];
  const { options } = issue as { readonly options?: unknown };
  // A branch that may be left out has no value to name.
  return Array.isArray(options) ? (options as unknown[]).filter((value) => value !== undefined) : [];
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'an object',
  record: 'an object',
};

const FORMATS: Readonly<Record<string, string>> = {
  url: 'a URL',
  email: 'an e-mail address',
  ipv4: 'an IPv4 address',
  ipv6: 'an IPv6 address',
};
