import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../free-port.js';

const READY_WITHIN_MS = 20_000;

export interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** `npm run start:fleet` without the build: the launcher, with the three applications that it starts, on free ports. */
export class FleetProcess {
  readonly #process: ChildProcess;
  readonly #ended: Promise<unknown>;
  /** All that it and its applications have written. */
  output = '';

  private constructor(
    readonly port: number,
    environment: NodeJS.ProcessEnv,
  ) {
    this.#process = spawn(process.execPath, ['dist/apps/fleet/src/main.js'], {
      // Its lines are read.
      env: { ...process.env, MESH_LOGGING__LEVEL: 'info', PORT: String(port), ...environment },
    });
    this.#ended = once(this.#process, 'exit');
    this.#process.stdout?.on('data', (text: Buffer) => (this.output += text.toString()));
    this.#process.stderr?.on('data', (text: Buffer) => (this.output += text.toString()));
  }

  static async launch(environment: NodeJS.ProcessEnv): Promise<FleetProcess> {
    const [gateway, inventory, payments] = [await freePort(), await freePort(), await freePort()];
    return new FleetProcess(gateway, {
      INVENTORY_PORT: String(inventory),
      PAYMENTS_PORT: String(payments),
      ...environment,
    });
  }

  /** Resolves when it says what to try. */
  async ready(): Promise<void> {
    for (const giveUpAt = Date.now() + READY_WITHIN_MS; !this.output.includes('three processes'); await sleep(50))
      if (this.#process.exitCode !== null || Date.now() > giveUpAt)
        throw new Error(`The fleet is not ready:\n${this.output}`);
  }

  async call(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`, {
      method,
      headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Answer['body'] };
  }

  /** The process id of one of the applications, as its log lines name it. */
  processIdOf(service: string): number {
    const instance = new RegExp(`"service":"${service}","instance":"[^"]*-(\\d+)"`).exec(this.output)?.[1];
    if (instance === undefined) throw new Error(`No line of ${service} in:\n${this.output}`);
    return Number(instance);
  }

  /** With what exit code it ended. */
  async end(): Promise<number | null> {
    await this.#ended;
    return this.#process.exitCode;
  }

  stop(): Promise<number | null> {
    this.#process.kill('SIGTERM');
    return this.end();
  }
}
