import type { Clock } from '../core/clock.js';
import type { MeshEvents } from '../core/mesh.events.js';
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

export interface SignalShutdownDependencies {
  readonly lifecycle: MeshLifecycle;
  readonly clock: Clock;
  readonly events: MeshEvents;
  readonly process: ProcessPort;
}

/** Turns signals into a shutdown and its end: the first drains, the second hurries, the third ends the process. */
export class SignalShutdown {
  readonly #deps: SignalShutdownDependencies;
  readonly #exitAs: 'signal' | 'zero';
  readonly #listeners: ReadonlyMap<NodeJS.Signals, () => void>;
  #count = 0;
  #lastAt = -Infinity;

  constructor(deps: SignalShutdownDependencies, options: SignalShutdownOptions = {}) {
    const { signals = ['SIGTERM', 'SIGINT'], exitAs = 'signal' } = options;
    this.#deps = deps;
    this.#exitAs = exitAs;
    this.#listeners = new Map(signals.map((signal) => [signal, () => this.#onSignal(signal)]));
  }

  listen(): void {
    const { lifecycle, events, process } = this.#deps;
    for (const [signal, listener] of this.#listeners) process.on(signal, listener);
    // Nothing can happen any more that would end the start: without this, the process ends as if all were well.
    const ignoreIdle = process.onIdle(() => {
      if (!lifecycle.startPending) return;
      process.complain(
        'nestjs-mesh: the process ends before the application has started: an onModuleInit or onApplicationBootstrap ' +
          'failed, or waits for what nothing in the process can bring any more. Exit 1.',
      );
      process.endWith(1);
    });
    events.on('lifecycle.phase', ({ phase }) => {
      if (phase !== 'starting') ignoreIdle();
      // An application that was closed without a signal leaves nothing behind in the process.
      if (phase === 'stopped' && this.#count === 0) this.#unlisten();
    });
    lifecycle.onOverrun(({ totalMs, hanging }) => {
      if (this.#count === 0) return;
      process.complain(
        `nestjs-mesh: the shutdown is not done after ${totalMs} ms; hanging: ${hanging.join(', ')}. Exit 1.`,
      );
      process.exit(1);
    });
  }

  #onSignal(signal: NodeJS.Signals): void {
    const { lifecycle, clock, process } = this.#deps;
    const now = clock.monotonic();
    if (now - this.#lastAt < SAME_SIGNAL_MS) return;
    this.#lastAt = now;
    this.#count++;
    if (this.#count === 1) void this.#shutdown(signal);
    else if (this.#count === 2) lifecycle.hurry();
    else {
      process.complain(`nestjs-mesh: ${signal} for the third time. Exit 1 with the shutdown unfinished.`);
      process.exit(1);
    }
  }

  async #shutdown(signal: NodeJS.Signals): Promise<void> {
    const { lifecycle, process } = this.#deps;
    try {
      await lifecycle.shutdown({ reason: signal, endsProcess: true });
    } catch (error) {
      const cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
      process.complain(`nestjs-mesh: the shutdown failed: ${cause}`);
      process.exit(1);
      return;
    }
    this.#unlisten();
    process.finish(signal, this.#exitAs);
  }

  #unlisten(): void {
    for (const [signal, listener] of this.#listeners) this.#deps.process.off(signal, listener);
  }
}
