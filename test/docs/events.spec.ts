import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

describe('docs/logging.md', () => {
  it('says of every event how it is logged', () => {
    const declared = readFileSync('libs/mesh/src/core/mesh.events.ts', 'utf8').matchAll(/^ {2}'([a-z.-]+)':/gm);
    const page = readFileSync('docs/logging.md', 'utf8');
    const table = page.slice(page.indexOf('| Event '), page.indexOf('An event that repeats'));
    const documented = [...table.matchAll(/`([a-z]+\.[a-z-]+)`/g)].map(([, name]) => name);
    // A finished request is a line and no event.
    expect(documented.filter((name) => name !== 'http.request').sort()).toEqual(
      [...declared].map(([, name]) => name).sort(),
    );
  });
});
