import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect } from 'vitest';
import { snippetsOf } from '../docs/snippets.js';

// The example of docs/testing.md that stands alone is a test file: it runs here as its reader would run it.
const example = snippetsOf('docs/testing.md').find(({ code }) => code.includes('class ChargesModule'));
expect(example, 'the example in docs/testing.md').toBeDefined();
const folder = join(process.cwd(), 'test/e2e/.testing-page');
mkdirSync(folder, { recursive: true });
const file = join(folder, `charges-${process.pid}.ts`);
writeFileSync(file, example!.code);
const { href } = pathToFileURL(file);

describe('the example in docs/testing.md', async () => {
  await import(href);
  rmSync(file);
});
