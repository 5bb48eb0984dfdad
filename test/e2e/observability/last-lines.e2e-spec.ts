import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
let folder: string;

beforeAll(async () => {
  // Beside the sources, so that Node finds the packages.
  folder = mkdtempSync(path('../../../node_modules/.nestjs-mesh-logs-'));
  await build({
    configFile: false,
    logLevel: 'error',
    oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
    resolve: { alias: { 'nestjs-mesh': path('../../../libs/mesh/src/index.ts') } },
    ssr: { external: true },
    build: { ssr: path('./child/last-lines.ts'), outDir: folder, minify: false, target: 'node22', emptyOutDir: false },
  });
}, 60_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The lines that were read from a child, and how long it lived after its first one; `read: false` never reads. */
async function run(args: readonly string[], { read } = { read: true }) {
  const child = spawn(process.execPath, [`${folder}/last-lines.js`, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const from = performance.now();
  let text = '';
  if (read) child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await new Promise((resolve) => child.once('exit', resolve));
  const livedMs = performance.now() - from;
  if (read && !child.stdout.readableEnded) await new Promise((resolve) => child.stdout.once('end', resolve));
  return { lines: text.split('\n').length - 1, livedMs };
}

describe('the last lines of a process', () => {
  it('are all out when the flush is over', { timeout: 20_000 }, async () => {
    expect((await run(['flush', '5000'])).lines).toBe(2_000);
  });

  it('would be lost without it', { timeout: 20_000 }, async () => {
    expect((await run(['no'])).lines).toBeLessThan(2_000);
  });

  it('do not keep the process when nobody reads them', { timeout: 20_000 }, async () => {
    const { livedMs } = await run(['flush', '300'], { read: false });
    expect(livedMs).toBeLessThan(10_000);
  });
});
