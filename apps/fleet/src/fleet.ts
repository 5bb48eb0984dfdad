import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ASK_EVERY_MS = 100;

export interface Ship {
  readonly name: string;
  readonly port: number;
}

/** The applications as processes of their own, in the order in which they stop: who asks goes before those it asks. */
export class Fleet {
  readonly #processes: readonly (readonly [Ship, ChildProcess])[];
  #stopping: Promise<void> | undefined;

  constructor(ships: readonly Ship[], environment: NodeJS.ProcessEnv) {
    this.#processes = ships.map((ship) => [ship, launch(ship, environment)]);
  }

  /** Resolves when all are ready for work. */
  async ready(): Promise<void> {
    await Promise.all(this.#processes.map(([{ port }]) => untilUp(`http://127.0.0.1:${port}/health/ready`)));
  }

  /** Rejects as soon as one of them ends that nobody stopped. */
  async firstLoss(): Promise<never> {
    const ends = this.#processes.map(async ([{ name }, child]) => {
      const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
      if (this.#stopping) return new Promise<never>(() => undefined);
      throw new Error(`${name} ended by itself (${signal ?? `exit code ${code}`}).`);
    });
    return Promise.race(ends);
  }

  /** Each gets its time to drain. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  /** Does not wait for anything to be finished. */
  kill(): void {
    for (const [, child] of this.#processes) child.kill('SIGKILL');
  }

  async #stopAll(): Promise<void> {
    for (const [, child] of this.#processes) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
  }
}

function launch({ name, port }: Ship, environment: NodeJS.ProcessEnv): ChildProcess {
  const main = fileURLToPath(new URL(`../../${name}/src/main.js`, import.meta.url));
  // Out of the terminal's reach: its Ctrl-C is for the launcher, which knows the order.
  return spawn(process.execPath, [main], {
    detached: true,
    stdio: 'inherit',
    env: { ...environment, PORT: String(port) },
  });
}

async function untilUp(url: string): Promise<void> {
  while (!(await isUp(url))) await sleep(ASK_EVERY_MS);
}

async function isUp(url: string): Promise<boolean> {
  const answer = await fetch(url).catch(() => undefined);
  return answer?.ok ?? false;
}
