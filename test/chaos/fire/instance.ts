import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const READY_WITHIN_MS = 60_000;
const STOPPED_WITHIN_MS = 40_000;
/** Collects garbage when it is told to, so that what the heap holds can be measured. */
const COLLECT_ON_SIGNAL = `data:text/javascript,process.on('SIGUSR2',()=>gc())`;

export interface Place {
  readonly name: string;
  readonly app: 'gateway' | 'inventory' | 'payments';
  readonly port: number;
  readonly environment: NodeJS.ProcessEnv;
  /** The folder of its log. */
  readonly folder: string;
}

/** One process of the fleet, in its place: it can end in several ways, and another takes over its name and port. */
export class Instance {
  readonly name: string;
  readonly app: Place['app'];
  readonly url: string;
  readonly #place: Place;
  readonly #log: WriteStream;
  #process: ChildProcess | undefined;
  /** The signal that it was last sent to end it. */
  #endsBy: NodeJS.Signals | undefined;
  #startedAt = 0;
  /** Epoch ms of its last SIGKILL. */
  killedAt = 0;
  /** Epoch ms at which it was last told to stop, and at which a successor was ready. */
  stoppedAt = 0;
  backAt = 0;
  isRestarting = false;
  /** Must not be restarted now. */
  isSpared = false;
  /** Ends that nobody asked for, or other than asked for. */
  readonly crashes: string[] = [];

  constructor(place: Place) {
    this.#place = place;
    this.name = place.name;
    this.app = place.app;
    this.url = `http://127.0.0.1:${place.port}`;
    this.#log = createWriteStream(`${place.folder}/${place.name}.log`);
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get ageMs(): number {
    return Date.now() - this.#startedAt;
  }

  get runs(): boolean {
    return this.#process !== undefined && this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Whether a connection that was made after `since` may be refused, or cut, without anybody being to blame. */
  wasKilled(since: number): boolean {
    return this.killedAt >= since || this.killedAt > this.backAt;
  }

  /** Whether it was stopped in good order: then it may refuse connections, and must not cut any. */
  wasStopped(since: number): boolean {
    return this.stoppedAt >= since || this.stoppedAt > this.backAt;
  }

  start(): void {
    const { app, port, environment } = this.#place;
    this.#endsBy = undefined;
    this.#startedAt = Date.now();
    const child = spawn(
      process.execPath,
      ['--expose-gc', '--import', COLLECT_ON_SIGNAL, `dist/apps/${app}/src/main.js`],
      {
        env: { ...process.env, ...environment, PORT: String(port) },
      },
    );
    child.stdout.pipe(this.#log, { end: false });
    child.stderr.pipe(this.#log, { end: false });
    child.once('exit', (code, signal) => {
      const how = signal ?? `exit code ${code}`;
      if (!this.#endsBy) this.crashes.push(`${this.name} ended by itself (${how})`);
      else if (signal !== this.#endsBy) this.crashes.push(`${this.name} ended with ${how} after ${this.#endsBy}`);
    });
    this.#process = child;
  }

  /** Resolves when it is ready for work. */
  async ready(): Promise<void> {
    for (const giveUpAt = Date.now() + READY_WITHIN_MS; !(await this.isReady()); await sleep(100)) {
      if (!this.runs) throw new Error(`${this.name} ended while it started; see its log`);
      if (Date.now() > giveUpAt) throw new Error(`${this.name} is not ready after ${READY_WITHIN_MS} ms`);
    }
    this.backAt = Date.now();
  }

  async isReady(): Promise<boolean> {
    return fetch(`${this.url}/health/ready`, { signal: AbortSignal.timeout(1_000) }).then(
      async (answer) => {
        await answer.body?.cancel();
        return answer.ok;
      },
      () => false,
    );
  }

  /** Ends it and starts another in its place. Resolves with how long the end took. */
  async restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<number> {
    this.isRestarting = true;
    try {
      const endedAfterMs = await (signal === 'SIGTERM' ? this.stop() : this.kill());
      this.start();
      await this.ready();
      return endedAfterMs;
    } finally {
      this.isRestarting = false;
    }
  }

  /** SIGTERM; resolves with how long it took to end. */
  async stop(): Promise<number> {
    this.stoppedAt = Date.now();
    await this.#end('SIGTERM');
    return Date.now() - this.stoppedAt;
  }

  async kill(): Promise<number> {
    this.killedAt = Date.now();
    await this.#end('SIGKILL');
    return Date.now() - this.killedAt;
  }

  collectGarbage(): void {
    if (this.runs) this.#process?.kill('SIGUSR2');
  }

  async get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
    return fetch(this.url + path, { headers, signal: AbortSignal.timeout(5_000) });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (!child || !this.runs) return;
    this.#endsBy = signal;
    const ended = once(child, 'exit', { signal: AbortSignal.timeout(STOPPED_WITHIN_MS) });
    child.kill(signal);
    await ended.catch(async () => {
      this.crashes.push(`${this.name} did not end within ${STOPPED_WITHIN_MS} ms of ${signal}`);
      this.#endsBy = 'SIGKILL';
      child.kill('SIGKILL');
    });
  }
}
