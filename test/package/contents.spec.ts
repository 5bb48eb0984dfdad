import { execFileSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pack, temporaryFolder } from './fresh-app.js';

const folder = temporaryFolder();
const inside = join(folder, 'package');

beforeAll(async () => {
  execFileSync('tar', ['-xzf', await pack(folder), '-C', folder]);
}, 60_000);

afterAll(() => rm(folder, { recursive: true, force: true }), 60_000);

describe('the packed library', () => {
  it('brings the pages, the alert rules and the dashboard along', () => {
    const wanted = ['README.md', ...globSync(['docs/*.md', 'ops/*'])];
    expect(wanted.filter((file) => !existsSync(join(inside, file)))).toEqual([]);
  });

  it('has no link that leads out of it', () => {
    const dead = globSync('{README.md,docs/*.md}', { cwd: inside }).flatMap((page) =>
      [...readFileSync(join(inside, page), 'utf8').matchAll(/\]\((?!https?:|#)([^)\s#]+)/g)]
        .map(([, path]) => join(dirname(page), path!))
        .filter((target) => !existsSync(join(inside, target)))
        .map((target) => `${page}: ${target}`),
    );
    expect(dead).toEqual([]);
  });
});
