import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configReference, withConfigReference } from '../../libs/mesh/src/config/config.reference.js';
import { meshSchema } from '../../libs/mesh/src/mesh.options.js';

const page = resolve('docs/configuration.md');

describe('docs/configuration.md', () => {
  it('lists every option with its default and its update class', async () => {
    // `npx vitest run test/docs/configuration.spec.ts -u` renews the table.
    await expect(withConfigReference(readFileSync(page, 'utf8'), meshSchema)).toMatchFileSnapshot(page);
  });

  it('says of every option what it means', () => {
    const rows = configReference(meshSchema).split('\n').slice(2);
    expect(rows.filter((row) => row.endsWith(' |  |'))).toEqual([]);
  });
});
