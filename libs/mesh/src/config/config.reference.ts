import { shown } from './config.mask.js';
import { branchesOf, childrenOf, defOf, isStructured, keysOf, strictest, unwrap } from './config.schema.js';
import type { ConfigSchema, UpdateClass } from './config.schema.js';
import { own } from './config.tree.js';

/** One option of the reference. */
interface ReferenceRow {
  readonly path: string;
  readonly type: string;
  readonly byDefault: string;
  readonly update: UpdateClass;
  readonly description: string;
}

interface Place {
  readonly path: string;
  readonly update: UpdateClass;
  /** What stands here when nobody says anything, as far as a section around it tells. */
  readonly byDefault: unknown;
}

/** A deeper schema than this is taken for a recursive one. */
const MAX_DEPTH = 10;

/** A table of every option with its type, default, update class and description, in Markdown. */
export function configReference(schema: ConfigSchema): string {
  const rows = [...rowsOf([schema], { path: '', update: 'restart', byDefault: undefined }, 0)];
  const lines = rows.map(({ path, type, byDefault, update, description }) =>
    [`\`${path}\``, code(type), code(byDefault), update, description].map(cell).join(' | '),
  );
  return ['| Option | Type | Default | Update | Meaning |', '| --- | --- | --- | --- | --- |', ...lines.map((line) => `| ${line} |`)].join('\n');
}

function* rowsOf(schemas: readonly ConfigSchema[], place: Place, depth: number): Generator<ReferenceRow> {
  const metas = schemas.map((schema) => unwrap(schema).meta);
  const [first, ...others] = metas.flatMap((meta) => meta.update ?? []);
  const update = first ? strictest([first, ...others]) : place.update;
  const byDefault = schemas.map(defaultOf).find((value) => value !== undefined) ?? place.byDefault;
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
  for (let inner = schema as Parameters<typeof defOf>[0]; ; ) {
    const def = defOf(inner);
    if (def.type === 'default' || def.type === 'prefault') return def.defaultValue;
    if (!('innerType' in def)) return undefined;
    inner = def.innerType as typeof inner;
  }
}

function defaultText(schemas: readonly ConfigSchema[], byDefault: unknown): string {
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
