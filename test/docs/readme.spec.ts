import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { snippetsOf } from './snippets.js';

// That its quick start works is shown in test/package, where it runs in applications of its own.
describe('the README', () => {
  it('has a quick start of at most 30 lines', () => {
    const files = snippetsOf('README.md').filter(({ file }) => file?.startsWith('src/'));
    const lines = files.flatMap(({ code }) => code.split('\n')).filter((line) => line.trim() !== '');

    expect(files.map(({ file }) => file)).toEqual(['src/app.module.ts', 'src/main.ts']);
    expect(lines.length).toBeLessThanOrEqual(30);
  });

  it('is under 200 lines', () => {
    expect(readFileSync('README.md', 'utf8').split('\n').length).toBeLessThan(200);
  });
});
