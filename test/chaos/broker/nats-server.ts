import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Whether the specs of NATS can run. In CI they must: without the server they fail instead of being skipped. */
export const natsIsHere = process.env['CI'] === 'true' || isInstalled('nats-server');

/** A private nats-server with JetStream on a free port, that can be hung, killed and started again over the same store. */
export class NatsServer {
  readonly #store = mkdtempSync(join(tmpdir(), 'mesh-nats-'));
  #process: ChildProcess | undefined;

  private constructor(
    readonly port: number,
    readonly jetstream: boolean,
  ) {}

  static async start({ jetstream = true }: { readonly jetstream?: boolean } = {}): Promise<NatsServer> {
    const server = new NatsServer(await freePort(), jetstream);
    await server.start();
    return server;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Does nothing while it runs. */
  async start(): Promise<void> {
    if (this.#runs) return;
    const store = this.jetstream ? ['-js', '-sd', this.#store] : [];
    const args = ['-a', '127.0.0.1', '-p', String(this.port), ...store];
    this.#process = spawn('nats-server', args, { stdio: 'ignore' });
    for (let tries = 0; !(await answers(this.port)); tries++) {
      if (tries > 500) throw new Error(`nats-server does not answer on port ${this.port}`);
      await sleep(10);
    }
  }

  /** SIGKILL: nothing is said, nothing is flushed. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || !this.#runs) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  /** SIGSTOP: the port stays open, and nothing answers. */
  hang(): void {
    this.#process?.kill('SIGSTOP');
  }

  resume(): void {
    this.#process?.kill('SIGCONT');
  }

  get #runs(): boolean {
    return this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#store, { recursive: true, force: true });
  }
}

function isInstalled(program: string): boolean {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Whether the server has begun to talk: its greeting comes first. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('data', () => end(true));
    socket.once('error', () => end(false));
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}
