import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../free-port.js';

const run = promisify(execFile);

/** Installs with npm, as users do; otherwise packages are links to this repository's, and nestjs-mesh alone is unpacked. */
const withNpm = process.env['MESH_FULL'] === '1';

export interface Host {
  readonly format: 'esm' | 'cjs';
  readonly platform: 'express' | 'fastify';
}

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

const manifest = JSON.parse(readFileSync('libs/mesh/package.json', 'utf8')) as Manifest;

/** What nestjs-mesh works without, until the configuration asks for it. */
export const optionalPeers: readonly string[] = Object.keys(manifest.peerDependenciesMeta ?? {});

/** Where the packages of this test are kept: outside of the repository, whose packages Node would find otherwise. */
export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'mesh-package-'));
}

/** Packs libs/mesh/dist, as `npm publish` would. */
export async function pack(folder: string): Promise<string> {
  if (!existsSync('libs/mesh/dist/index.js')) throw new Error('libs/mesh/dist is missing: npm run build:lib');
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: 'libs/mesh' });
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('['))) as { filename: string }[];
  return join(folder, packed!.filename);
}

/** An application as Nest's CLI makes it, with the packed nestjs-mesh in its node_modules. */
export class FreshApp {
  private constructor(
    readonly folder: string,
    readonly host: Host,
  ) {}

  static async make(folder: string, tarball: string, host: Host): Promise<FreshApp> {
    const name = `${host.format}-${host.platform}`;
    // What `nest new` runs; its question for the module system can only be answered at a terminal.
    await run(
      resolve('node_modules/.bin/schematics'),
      ['@nestjs/schematics:application', `--name=${name}`, `--type=${host.format}`, '--no-spec', '--language=ts'],
      { cwd: folder, env: { ...process.env, NODE_PATH: resolve('node_modules') } },
    );
    const app = new FreshApp(join(folder, name), host);
    const platform = host.platform === 'fastify' ? ['@nestjs/platform-fastify'] : [];
    if (withNpm) await app.install([tarball, ...platform]);
    else await app.#link(tarball, platform);
    return app;
  }

  /** With what users type: `npm install` of what the scaffold names, then of the packages. */
  async install(packages: readonly string[]): Promise<void> {
    const quiet = ['--prefer-offline', '--no-audit', '--no-fund'];
    if (!existsSync(join(this.folder, 'node_modules'))) await run('npm', ['install', ...quiet], { cwd: this.folder });
    await run('npm', ['install', ...quiet, ...packages], { cwd: this.folder });
  }

  /** Adds an optional peer. */
  async add(name: string): Promise<void> {
    if (withNpm) await this.install([`${name}@${manifest.peerDependencies![name]!}`]);
    else this.#linkPackage(name);
  }

  /** Leaves a package to the one that needs it, as a package manager does that hoists nothing. */
  hide(name: string, owner: string): void {
    const shown = join(this.folder, 'node_modules', name);
    if (!existsSync(shown)) return;
    const hidden = join(this.folder, 'node_modules', owner, 'node_modules', name);
    mkdirSync(dirname(hidden), { recursive: true });
    renameSync(shown, hidden);
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true });
    writeFileSync(join(this.folder, path), text);
  }

  /** Compiles as `nest build` does, declarations of packages included. @returns the errors, and the files that it read. */
  async compile(): Promise<readonly string[]> {
    const tsc = join(this.folder, 'node_modules/typescript/bin/tsc');
    const args = [tsc, '-p', 'tsconfig.build.json', '--skipLibCheck', 'false', '--listFiles'];
    const answer = run(process.execPath, args, { cwd: this.folder, maxBuffer: 1 << 26 });
    const { stdout } = await answer.catch((error: { stdout?: string }) => ({ stdout: error.stdout ?? String(error) }));
    return stdout.split('\n');
  }

  /** Runs a script to its end. */
  async run(script: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
    const options = { cwd: this.folder, env: { ...process.env, ...env }, timeout: 20_000 };
    return (await run(process.execPath, [script], options)).stdout;
  }

  /** Starts the application and waits until it is ready. */
  async start(script: string): Promise<RunningApp> {
    const port = await freePort();
    const env = { ...process.env, PORT: String(port) };
    const child = spawn(process.execPath, [script], { cwd: this.folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const output: string[] = [];
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => output.push(String(chunk)));
    const app = new RunningApp(child, `http://127.0.0.1:${port}`);
    while (!(await fetch(`${app.url}/health/ready`).catch(() => undefined))?.ok) {
      if (child.exitCode !== null) throw new Error(`It ended with ${child.exitCode}:\n${output.join('')}`);
      await new Promise((turn) => setTimeout(turn, 20));
    }
    return app;
  }

  async #link(tarball: string, platform: readonly string[]): Promise<void> {
    const scaffold = JSON.parse(readFileSync(join(this.folder, 'package.json'), 'utf8')) as Manifest;
    const required = Object.keys(manifest.peerDependencies!).filter((name) => !optionalPeers.includes(name));
    const wanted = [...Object.keys({ ...scaffold.dependencies, ...manifest.dependencies }), ...required, ...platform];
    for (const name of new Set([...wanted, '@nestjs/testing', 'typescript', '@types/node'])) this.#linkPackage(name);
    const unpacked = join(this.folder, 'node_modules/nestjs-mesh');
    mkdirSync(unpacked);
    await run('tar', ['-xzf', tarball, '-C', unpacked, '--strip-components=1']);
    // The scaffold's test runner is none of nestjs-mesh's business.
    const tsconfig = readFileSync(join(this.folder, 'tsconfig.json'), 'utf8');
    this.write('tsconfig.json', tsconfig.replace(/"types": \[.*\]/, '"types": ["node"]'));
  }

  #linkPackage(name: string): void {
    const link = join(this.folder, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    if (!existsSync(link)) symlinkSync(resolve('node_modules', name), link);
  }
}

export class RunningApp {
  readonly #exit: Promise<string>;

  constructor(
    readonly child: ChildProcess,
    readonly url: string,
  ) {
    this.#exit = new Promise((exited) => child.once('exit', (code, signal) => exited(String(signal ?? code))));
  }

  /** @returns the signal or the code that it ended with. */
  async stop(): Promise<string> {
    this.child.kill('SIGTERM');
    return this.#exit;
  }
}
