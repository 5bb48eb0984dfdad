import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** One TypeScript example of a page. */
export interface Snippet {
  readonly page: string;
  readonly line: number;
  /** Where the example's reader would put it, when its first line says so: `// src/app.module.ts`. */
  readonly file: string | undefined;
  /** What the example takes for granted, from an HTML comment right above it: `<!-- given: … -->`. */
  readonly given: string;
  readonly code: string;
}

const FENCE = /(?:<!--\s*given:\s*([\s\S]*?)-->\s*\n)?```ts\n([\s\S]*?)\n```/g;

export function pages(): string[] {
  return [
    'README.md',
    ...readdirSync('docs')
      .filter((name) => name.endsWith('.md'))
      .map((name) => join('docs', name)),
  ];
}

export function snippetsOf(page: string): Snippet[] {
  const text = readFileSync(page, 'utf8');
  return [...text.matchAll(FENCE)].map((match) => ({
    page,
    line: text.slice(0, match.index).split('\n').length,
    file: /^\/\/ (\S+\.ts)\b/.exec(match[2]!)?.[1],
    given: match[1] ?? '',
    code: match[2]!,
  }));
}

/** Writes the examples of all pages below `folder`, one folder a page, and returns the paths. */
export function writeSnippets(folder: string): Map<string, Snippet> {
  rmSync(folder, { recursive: true, force: true });
  const written = new Map<string, Snippet>();
  for (const page of pages()) {
    // Examples of a main.ts import the reader's own root module.
    mkdirSync(join(folder, basename(page, '.md')), { recursive: true });
    writeFileSync(join(folder, basename(page, '.md'), 'app.module.ts'), 'export class AppModule {}\n');
    snippetsOf(page).forEach((snippet, index) => {
      const path = join(folder, basename(page, '.md'), snippet.file ?? `snippet-${index + 1}.ts`);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, `${snippet.given}\n${snippet.code}\nexport {};\n`);
      written.set(path, snippet);
    });
  }
  return written;
}
