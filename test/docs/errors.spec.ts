import { globSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

interface Described {
  /** The classes that have the code. */
  readonly classes: readonly string[];
  /** `undefined` where it depends on what happened. */
  readonly status: number | undefined;
  readonly retryable: boolean;
  /** Whether answers can say when to come back. */
  readonly retryAfter: boolean;
}

const sources = globSync('libs/mesh/src/**/*.ts')
  .filter((path) => !/\.(spec|fixture)\.ts$|\/testing\//.test(path))
  .map((path) => readFileSync(path, 'utf8'));
const codes = new Set(
  sources.flatMap((text) => [...text.matchAll(/code: '(MESH_[A-Z_]+)'/g)].map(([, code]) => code!)),
);

/** Each code as its class makes it; a class without one of its own has that of the class it extends. */
const inCode = new Map<string, Described>([
  // Made of what came over the wire, in wire-error.ts.
  ['MESH_REMOTE', { classes: ['RemoteError'], status: 500, retryable: true, retryAfter: false }],
]);
const classes = sources.flatMap((text) => [
  ...text.matchAll(/^export class (\w+) extends (Mesh\w*Error) \{\n([\s\S]*?)^\}/gm),
]);
for (const [, name, , body] of classes) {
  const code = /code: '(MESH_[A-Z_]+)'/.exec(body!)?.[1];
  if (code === undefined) continue;
  const heirs = classes.filter(([, , parent]) => parent === name).map(([, heir]) => heir!);
  const status = /\bstatus: (\d+)(?= ?[,}\n])/.exec(body!)?.[1];
  inCode.set(code, {
    classes: [name!, ...heirs].toSorted(),
    status: status === undefined ? (/\bstatus[:,] ?\D/.test(body!) ? undefined : 500) : Number(status),
    retryable: /\bretryable: (?!false)/.test(body!),
    retryAfter: /\bretryAfterMs\b/.test(body!),
  });
}

/** Each section of the page: the first sentence names the classes, the status and whether a retry makes sense. */
const inDocs = new Map<string, Described>();
const page = readFileSync('docs/errors.md', 'utf8');
for (const [, code, section] of page.matchAll(/^## (MESH_[A-Z_]+)\n\n([\s\S]*?)(?=\n## |(?![\s\S]))/gm)) {
  const [head] = section!.split(/\.\s/, 1);
  const statuses = head!.match(/\b[45]\d\d\b/g) ?? [];
  inDocs.set(code!, {
    classes: [...head!.matchAll(/`(\w+Error)`/g)].map(([, name]) => name!).toSorted(),
    status: statuses.length === 1 ? Number(statuses[0]) : undefined,
    retryable: /, retryable\b/.test(head!),
    retryAfter: section!.includes('`Retry-After'),
  });
}

describe('docs/errors.md', () => {
  it('has a heading for every code', () => {
    expect([...codes].filter((code) => !inDocs.has(code))).toEqual([]);
  });

  it('names no code that does not exist', () => {
    expect([...inDocs.keys()].filter((code) => !codes.has(code))).toEqual([]);
  });

  it.each([...codes].toSorted())('says the class, the status and the retries of %s as the code does', (code) => {
    expect(inDocs.get(code)).toEqual(inCode.get(code));
  });
});
