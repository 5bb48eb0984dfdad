import { setTimeout as sleep } from 'node:timers/promises';
import type { Instance } from './instance.js';

const MEASURES_EVERY_MS = 10_000;
/** Until then code is loaded and compiled. */
const WARM_AFTER_MS = 15_000;
/** A signal is noticed in the next turn of the event loop, on a busy machine a little later. */
const COLLECTED_AFTER_MS = 300;

export interface Measured {
  readonly atMs: number;
  readonly heapBytes: number;
}

/** What the heap of each process holds after a collection, from when it is warm. */
export class MemoryWatch {
  readonly #instances: readonly Instance[];
  readonly #nowMs: () => number;
  /** By name and process id: a restarted instance begins anew. */
  readonly lives = new Map<string, Measured[]>();
  /** Why an instance that ran could not be measured. */
  readonly failures: string[] = [];
  readonly #end = new AbortController();
  #watching: Promise<void> | undefined;

  constructor(instances: readonly Instance[], nowMs: () => number) {
    this.#instances = instances;
    this.#nowMs = nowMs;
  }

  start(): void {
    this.#watching = this.#watch();
  }

  /** Measures once more. */
  async stop(): Promise<void> {
    this.#end.abort();
    await this.#watching;
    await this.#measureAll();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      await this.#measureAll();
      await sleep(MEASURES_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #measureAll(): Promise<void> {
    await Promise.all(this.#instances.map((instance) => this.#measure(instance)));
  }

  async #measure(instance: Instance): Promise<void> {
    const { pid } = instance;
    if (instance.ageMs < WARM_AFTER_MS || !(await instance.isReady())) return;
    instance.collectGarbage();
    await sleep(COLLECTED_AFTER_MS);
    const heapBytes = await heapOf(instance).catch((error: Error) => error);
    // Another process answers by now, or nobody: that tells nothing about this one.
    if (instance.pid !== pid || instance.isRestarting || !instance.runs) return;
    if (heapBytes instanceof Error) {
      // On a busy machine; that too few were measured is found by the judge.
      if (heapBytes.name !== 'TimeoutError') this.failures.push(`${instance.name}: ${String(heapBytes)}`);
      return;
    }
    const life = `${instance.name} (${pid})`;
    this.lives.set(life, [...(this.lives.get(life) ?? []), { atMs: this.#nowMs(), heapBytes }]);
  }
}

async function heapOf(instance: Instance): Promise<number> {
  const page = await (await instance.get('/metrics')).text();
  const heapBytes = Number(/^nodejs_heap_size_used_bytes\S* (\S+)/m.exec(page)?.[1]);
  if (Number.isNaN(heapBytes)) throw new Error('it tells no size of its heap');
  return heapBytes;
}
