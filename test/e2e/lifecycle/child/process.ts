import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import type { ChildSpec } from './spec.js';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** The child application as one file that plain Node runs: decorators need more than the stripping of types. */
export class ChildBuild {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async create(): Promise<ChildBuild> {
    // Beside the sources, so that Node finds the packages.
    const folder = mkdtempSync(path('../../../../node_modules/.nestjs-mesh-child-'));
    const child = new ChildBuild(folder);
    try {
      await build({
        configFile: false,
        logLevel: 'error',
        oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
        resolve: { alias: { 'nestjs-mesh': path('../../../../libs/mesh/src/index.ts') } },
        ssr: { external: true },
        build: { ssr: path('./main.ts'), outDir: folder, minify: false, target: 'node22', emptyOutDir: false },
      });
    } catch (error) {
      child.remove();
      throw error;
    }
    return child;
  }

  start(spec: ChildSpec, environment: Readonly<Record<string, string>> = {}): Child {
    const { KUBERNETES_SERVICE_HOST: _, ...inherited } = process.env;
    const child = spawn(process.execPath, [`${this.#folder}/main.js`, JSON.stringify(spec)], {
      env: { ...inherited, NODE_ENV: 'production', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new Child(child);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** From the first signal that was sent. */
  readonly tookMs: number;
}

/** A running child application: what it said, what it is sent, how it ended. */
export class Child {
  readonly #process: ChildProcess;
  readonly #waiting = new Set<() => void>();
  readonly ended: Promise<ChildEnd>;
  #signalledAt: number | undefined;
  output = '';
  errors = '';

  constructor(child: ChildProcess) {
    this.#process = child;
    child.stdout!.on('data', (chunk: Buffer) => this.#hear(() => (this.output += chunk.toString())));
    child.stderr!.on('data', (chunk: Buffer) => this.#hear(() => (this.errors += chunk.toString())));
    this.ended = new Promise((resolve) =>
      child.on('close', (code, signal) => {
        resolve({ code, signal, tookMs: performance.now() - (this.#signalledAt ?? performance.now()) });
        this.#hear(() => undefined);
      }),
    );
  }

  /** The lines that the application itself said, without the mesh's log. */
  get said(): readonly string[] {
    return this.output.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
  }

  get log(): readonly Readonly<Record<string, unknown>>[] {
    const lines = this.output.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  signal(name: NodeJS.Signals): void {
    this.#signalledAt ??= performance.now();
    this.#process.kill(name);
  }

  /** Resolves with the line that the child says, once it does. */
  async says(text: string): Promise<string> {
    for (;;) {
      const line = this.said.find((said) => said.includes(text));
      if (line !== undefined) return line;
      if (this.#process.exitCode !== null || this.#process.signalCode !== null)
        throw new Error(`The child ended before it said "${text}".\n${this.output}\n${this.errors}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** The ports that it listens on so far. */
  get ports(): readonly number[] {
    return this.said.filter((line) => line.startsWith('listening')).map((line) => Number(line.split(' ')[1]));
  }

  async port(): Promise<number> {
    await this.says('listening');
    return this.ports[0]!;
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  #hear(note: () => void): void {
    note();
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
