import { relative } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { writeSnippets } from './snippets.js';

describe('the examples in the documents', () => {
  it('compile against the public API', { timeout: 60_000 }, () => {
    const snippets = writeSnippets('test/docs/.generated');
    const config = ts.parseJsonConfigFileContent(
      ts.readConfigFile('tsconfig.json', (path) => ts.sys.readFile(path)).config,
      ts.sys,
      '.',
    );
    const program = ts.createProgram(['test/docs/ambient-packages.d.ts', ...snippets.keys()], {
      ...config.options,
      noEmit: true,
      noUnusedLocals: false,
      noUnusedParameters: false,
    });

    const problems = ts.getPreEmitDiagnostics(program).map((problem) => {
      const path = problem.file && relative('.', problem.file.fileName);
      const snippet = path === undefined ? undefined : snippets.get(path);
      const where = snippet ? `${snippet.page}:${snippet.line}` : (path ?? 'tsconfig');
      return `${where} ${ts.flattenDiagnosticMessageText(problem.messageText, '\n')}`;
    });
    expect(problems).toEqual([]);
  });
});
