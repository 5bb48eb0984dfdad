import { setTimeout as sleep } from 'node:timers/promises';

/** Work that is done again and again with a pause in between, and never twice at once. It must not reject. */
export class Rounds {
  readonly #end = new AbortController();
  #running: Promise<void> | undefined;

  constructor(
    private readonly pauseMs: number,
    private readonly work: () => Promise<void>,
  ) {}

  start(): void {
    this.#running ??= this.#run(this.#end.signal);
  }

  /** Lets the running round finish. */
  async stop(): Promise<void> {
    this.#end.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(this.pauseMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (!signal.aborted) await this.work();
    }
  }
}
