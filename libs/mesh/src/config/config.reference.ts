import { shown } from './config.mask.js';
import { branchesOf, childrenOf, defOf, isStructured, keysOf, MAX_DEPTH, metaOf, strictest } from './config.schema.js';
import type { ConfigSchema, UpdateClass } from './config.schema.js';
import { isTree, own } from './config.tree.js';

/** One option of the reference. */
interface ReferenceRow {
  readonly path: string;
  readonly type: string;
  readonly byDefault: string;
  readonly update: UpdateClass | '';
  readonly description: string;
}

interface Place {
  readonly path: string;
  readonly update: UpdateClass;
  /** What stands here when nobody says anything, as far as a section around it tells. */
  readonly byDefault: unknown;
}

/**
 * A table of every option with its type, default, update class and meaning, in Markdown. A section that has all the
 * options of an earlier one refers to it.
 */
export function configReference(schema: ConfigSchema): string {
  const all = [...rowsOf([schema], { path: '', update: 'restart', byDefault: undefined }, 0)];
  const lines = withReferences(all).map(({ path, type, byDefault, update, description }) =>
    [code(path), code(type), code(byDefault), update, description].map(cell).join(' | '),
  );
  const head = ['Option | Type | Default | Update | Meaning', '--- | --- | --- | --- | ---'];
  return [...head, ...lines].map((line) => `| ${line} |`).join('\n');
}

const BEGIN = '<!-- reference: generated from the schema -->';
const END = '<!-- /reference -->';

/**
 * A page with the table between its reference marks renewed: equal to the page as long as the page is up to date.
 * @throws {Error} when the page has no marks.
 */
export function withConfigReference(page: string, schema: ConfigSchema): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`The page has no place for the reference: ${BEGIN} … ${END}`);
  // Prettier would pad the cells, and the table would not be the generated one any more.
  const table = `\n\n<!-- prettier-ignore-start -->\n\n${configReference(schema)}\n\n<!-- prettier-ignore-end -->\n\n`;
  return page.slice(0, begin + BEGIN.length) + table + page.slice(end);
}

/** Fewer options than this are repeated rather than referred to. */
const WORTH_A_REFERENCE = 4;

function withReferences(all: readonly ReferenceRow[]): ReferenceRow[] {
  const sections = new Map<string, Map<string, ReferenceRow>>();
  for (const row of all) {
    for (let end = row.path.indexOf('.'); end !== -1; end = row.path.indexOf('.', end + 1)) {
      const section = row.path.slice(0, end);
      sections.set(section, (sections.get(section) ?? new Map<string, ReferenceRow>()).set(row.path.slice(end), row));
    }
  }
  const left = new Set(all);
  const references = new Map<ReferenceRow, ReferenceRow>();
  const earlier: [path: string, rows: Map<string, ReferenceRow>][] = [];
  for (const [path, rows] of sections) {
    const same = earlier
      .filter(([other]) => !path.startsWith(`${other}.`))
      .filter(
        ([, others]) =>
          others.size >= WORTH_A_REFERENCE && [...others].every(([key, row]) => isAlike(row, rows.get(key))),
      )
      .toSorted(([, a], [, b]) => b.size - a.size)[0];
    earlier.push([path, rows]);
    const replaced = [...(same?.[1].keys() ?? [])].map((key) => rows.get(key)!).filter((row) => left.has(row));
    if (!same || replaced.length < WORTH_A_REFERENCE) continue;
    for (const row of replaced) left.delete(row);
    const description = `All options of ${code(same[0])}.`;
    references.set(replaced[0]!, { path: `${path}.…`, type: '', byDefault: '', update: '', description });
  }
  return all.flatMap((row) => references.get(row) ?? (left.has(row) ? row : []));
}

/** Whether `b` says what `a` says; without a default of its own it may have another one, which it inherits. */
function isAlike(a: ReferenceRow, b: ReferenceRow | undefined): boolean {
  if (b === undefined) return false;
  const byDefault = b.byDefault || a.byDefault;
  return JSON.stringify({ ...a, path: '' }) === JSON.stringify({ ...b, path: '', byDefault });
}

function* rowsOf(schemas: readonly ConfigSchema[], place: Place, depth: number): Generator<ReferenceRow> {
  const metas = schemas.map(metaOf);
  const [first, ...others] = metas.flatMap((meta) => meta.update ?? []);
  const update = first ? strictest([first, ...others]) : place.update;
  const said = [...metas.map((meta) => meta.byDefault), ...schemas.map(defaultOf), place.byDefault];
  const byDefault = said.find((value) => value !== undefined);
  const leaf = schemas.flatMap(branchesOf).filter((branch) => !isStructured(branch));

  // A section has a line of its own only where it may also be something else, such as `false`.
  if (leaf.length > 0 && place.path !== '') {
    const type = [...new Set(schemas.flatMap(branchesOf).map(typeOf))].join(' or ');
    const description = metas.map((meta) => meta.description).find((text) => text !== undefined) ?? '';
    yield { path: place.path, type, byDefault: defaultText(schemas, byDefault), update, description };
  }
  if (depth === MAX_DEPTH) return;
  for (const { path, children, key } of inside(schemas, place.path)) {
    yield* rowsOf(children, { path, update, byDefault: own(byDefault, key) }, depth + 1);
  }
}

function inside(
  schemas: readonly ConfigSchema[],
  above: string,
): { readonly path: string; readonly key: string; readonly children: readonly ConfigSchema[] }[] {
  const named = [...new Set(schemas.flatMap(keysOf))].map((key) => ({
    path: above === '' ? key : `${above}.${key}`,
    key,
    children: schemas.flatMap((schema) => childrenOf(schema, key)),
  }));
  const records = schemas.flatMap(branchesOf).flatMap((branch) => {
    const def = defOf(branch);
    return def.type === 'record' ? [def.valueType as ConfigSchema] : [];
  });
  return records.length === 0 ? named : [...named, { path: `${above}.<name>`, key: '<name>', children: records }];
}

/** The default that the schema itself names, through all its wrappers. */
function defaultOf(schema: ConfigSchema): unknown {
  for (let inner = schema as Parameters<typeof defOf>[0]; ;) {
    const def = defOf(inner);
    if (def.type === 'default' || def.type === 'prefault') return def.defaultValue;
    if (!('innerType' in def)) return undefined;
    inner = def.innerType as typeof inner;
  }
}

function defaultText(schemas: readonly ConfigSchema[], byDefault: unknown): string {
  if (isTree(byDefault)) return 'on';
  if (byDefault !== undefined) return shown(byDefault);
  return schemas.some((schema) => (schema as Partial<{ isOptional(): boolean }>).isOptional?.()) ? '' : 'required';
}

function typeOf(branch: Parameters<typeof defOf>[0]): string {
  const def = defOf(branch);
  switch (def.type) {
    case 'literal':
      return def.values.map((value) => shown(value)).join(' or ');
    case 'enum':
      return Object.values(def.entries).map(shown).join(' or ');
    case 'array':
      return `list of ${branchesOf(def.element).map(typeOf).join(' or ')}`;
    case 'object':
    case 'record':
      return 'object';
    case 'string':
      return 'text';
    case 'unknown':
    case 'any':
      return 'anything';
    case 'custom':
      return 'code';
    default:
      return def.type;
  }
}

function code(text: string): string {
  return text === '' ? '' : `\`${text}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replace(/\s*\n\s*/g, ' ');
}
