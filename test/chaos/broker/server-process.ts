import { type ChildProcess, execFileSync, spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly port: number;
  /** What a client says first, where the server waits for it. */
  readonly hello?: string;
}

const ANSWERS_WITHIN_MS = 90_000;

/** A server of our own, in a process group of its own: signals reach everything that it consists of. */
export class ServerProcess {
  readonly #command: Command;
  #process: ChildProcess | undefined;

  constructor(command: Command) {
    this.#command = command;
  }

  /** Resolves when it answers. Does nothing while it runs. */
  async start(): Promise<void> {
    if (this.#runs) return;
    const { program, args, env, port, hello } = this.#command;
    const options: SpawnOptions = { stdio: 'ignore', detached: true, ...(env && { env: { ...process.env, ...env } }) };
    this.#process = spawn(program, args, options);
    for (const giveUpAt = Date.now() + ANSWERS_WITHIN_MS; !(await answers(port, hello)); await sleep(20))
      if (!this.#runs || Date.now() > giveUpAt) throw new Error(`${program} does not answer on port ${port}`);
  }

  /** SIGKILL: nothing is said, nothing is flushed. Resolves when nothing answers any more. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || !this.#runs) return;
    const gone = once(child, 'exit');
    this.#signal('SIGKILL');
    await gone;
    // What it consists of dies one after the other.
    const { port, hello } = this.#command;
    while (await answers(port, hello)) await sleep(5);
  }

  /** SIGSTOP: the port stays open, and nothing answers. */
  hang(): void {
    this.#signal('SIGSTOP');
  }

  resume(): void {
    this.#signal('SIGCONT');
  }

  get #runs(): boolean {
    return this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#runs && this.#process!.pid !== undefined) process.kill(-this.#process!.pid, signal);
  }
}

export function isInstalled(program: string, ...args: readonly string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Whether the server on this port says something, which is when it has begun to work. */
export function answers(port: number, hello = ''): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port, timeout: 1_000 });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => socket.write(hello));
    socket.once('data', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('close', () => end(false));
    socket.once('error', () => end(false));
  });
}
