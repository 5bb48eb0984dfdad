import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { snippetsOf } from './snippets.js';

const folder = resolve('test/docs/.quick-start');
const files = snippetsOf('README.md').filter(({ file }) => file?.startsWith('src/'));
let child: ChildProcess;
let url: string;

/** Compiles the quick start of the README as a project of its own, against the built package, and starts it. */
beforeAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  for (const { file, code } of files) {
    mkdirSync(dirname(join(folder, file!)), { recursive: true });
    writeFileSync(join(folder, file!), code);
  }
  const compilerOptions = {
    target: 'ES2023',
    module: 'NodeNext',
    strict: true,
    skipLibCheck: true,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    types: ['node'],
    rootDir: 'src',
    outDir: 'dist',
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }));
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }));
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  await promisify(execFile)(resolve('node_modules/.bin/tsc'), ['-p', folder]);

  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  url = `http://127.0.0.1:${port}`;
  child = spawn(process.execPath, [join(folder, 'dist/main.js')], { env: { ...process.env, PORT: String(port) } });
  const exited = new Promise((_, reject) => child.once('exit', (code) => reject(new Error(`exited with ${code}`))));
  const answers = async () => {
    while (!(await fetch(`${url}/health/ready`).catch(() => undefined))?.ok) await new Promise(setImmediate);
  };
  await Promise.race([answers(), exited]);
}, 60_000);

afterAll(async () => {
  const exited = new Promise((done) => child.once('exit', done));
  child.kill('SIGTERM');
  await exited;
  rmSync(folder, { recursive: true, force: true });
});

describe('the quick start of the README', () => {
  it('is at most 30 lines', () => {
    const lines = files.flatMap(({ code }) => code.split('\n')).filter((line) => line.trim() !== '');
    expect(files.length).toBe(2);
    expect(lines.length).toBeLessThanOrEqual(30);
  });

  it('answers with the fallback, reports itself degraded and exposes its calls once the source has failed often enough', async () => {
    for (let call = 0; call < 25; call++) expect(await (await fetch(`${url}/rates`)).json()).toEqual({ USD: 1.08 });

    const ready = await fetch(`${url}/health/ready`);
    expect([ready.status, ((await ready.json()) as { status: string }).status]).toEqual([200, 'degraded']);
    expect(await (await fetch(`${url}/metrics`)).text()).toContain('mesh_calls_total{policy="rates"');
  });
});
