import type { Clock } from '../core/clock.js';
import type { MeshLifecycle } from './mesh-lifecycle.js';
import type { ProcessPort } from './process.port.js';

/** A signal that comes again within this time is the same one: launchers and shells forward what the terminal sends too. */
const SAME_SIGNAL_MS = 500;

export interface SignalShutdownOptions {
  /** Which signals shut the application down. @default ['SIGTERM', 'SIGINT'] */
  readonly signals?: readonly NodeJS.Signals[];
  /** How the process ends after a clean shutdown: by the signal itself (143 for SIGTERM), or with exit code 0. @default 'signal' */
  readonly exitAs?: 'signal' | 'zero';
}

/** Turns signals into a shutdown and its end: the first drains, the second hurries, the third ends the process. */
export class SignalShutdown {
  readonly #lifecycle: MeshLifecycle;
  readonly #clock: Clock;
  readonly #process: ProcessPort;
  readonly #exitAs: 'signal' | 'zero';
  readonly #listeners: ReadonlyMap<NodeJS.Signals, () => void>;
  #count = 0;
  #lastAt = -Infinity;

  constructor(lifecycle: MeshLifecycle, clock: Clock, port: ProcessPort, options: SignalShutdownOptions = {}) {
    const { signals = ['SIGTERM', 'SIGINT'], exitAs = 'signal' } = options;
    this.#lifecycle = lifecycle;
    this.#clock = clock;
    this.#process = port;
    this.#exitAs = exitAs;
    this.#listeners = new Map(signals.map((signal) => [signal, () => this.#onSignal(signal)]));
  }

  listen(): void {
    for (const [signal, listener] of this.#listeners) this.#process.on(signal, listener);
    this.#lifecycle.onOverrun((overrun) => {
      this.#process.complain(
        `nestjs-mesh: the shutdown is not done after ${overrun.totalMs} ms; hanging: ${overrun.hanging.join(', ')}. Exit 1.`,
      );
      this.#process.exit(1);
    });
  }

  #onSignal(signal: NodeJS.Signals): void {
    const now = this.#clock.monotonic();
    if (now - this.#lastAt < SAME_SIGNAL_MS) return;
    this.#lastAt = now;
    this.#count++;
    if (this.#count === 1) void this.#shutdown(signal);
    else if (this.#count === 2) this.#lifecycle.hurry();
    else {
      this.#process.complain(`nestjs-mesh: ${signal} for the third time. Exit 1 with the shutdown unfinished.`);
      this.#process.exit(1);
    }
  }

  async #shutdown(signal: NodeJS.Signals): Promise<void> {
    try {
      await this.#lifecycle.shutdown({ reason: signal });
    } catch (error) {
      this.#process.complain(
        `nestjs-mesh: the shutdown failed: ${error instanceof Error ? error.stack : String(error)}`,
      );
      this.#process.exit(1);
      return;
    }
    for (const [name, listener] of this.#listeners) this.#process.off(name, listener);
    if (this.#exitAs === 'signal') this.#process.raise(signal);
    else this.#process.exit(0);
  }
}
