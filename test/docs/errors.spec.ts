import { globSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const inCode = new Set(
  globSync('libs/mesh/src/**/*.ts')
    .filter((path) => !/\.(spec|fixture)\.ts$|\/testing\//.test(path))
    .flatMap((path) => [...readFileSync(path, 'utf8').matchAll(/code: '(MESH_[A-Z_]+)'/g)].map((match) => match[1]!)),
);
const inDocs = new Set(
  [...readFileSync('docs/errors.md', 'utf8').matchAll(/^## (MESH_[A-Z_]+)$/gm)].map((match) => match[1]!),
);

describe('docs/errors.md', () => {
  it('has a heading for every code', () => {
    expect([...inCode].filter((code) => !inDocs.has(code))).toEqual([]);
  });

  it('names no code that does not exist', () => {
    expect([...inDocs].filter((code) => !inCode.has(code))).toEqual([]);
  });
});
