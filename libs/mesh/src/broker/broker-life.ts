import type { DrainOptions, DrainReport } from '../core/broker.port.js';
import type { CallContexts } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { MeshEvents } from '../core/mesh.events.js';
import { DrainingError } from '../core/mesh.errors.js';

/**
 * `open`: everything is taken. `draining`: only what running work asks for. `drained`: everything that goes out again, for
 * the hooks of the user's code that run between the drain and the stop. `stopped`: nothing.
 */
export type BrokerState = 'open' | 'draining' | 'drained' | 'stopped';

/** The work of a broker, as far as its end depends on it. */
export interface BrokerWork {
  readonly isIdle: () => boolean;
  /** Requests and deliveries that ended, well or not, since the beginning. */
  readonly finished: () => number;
  /** What runs and what waits. */
  readonly unfinished: () => DrainReport['abandoned'];
}

interface LifeParts {
  readonly clock: Clock;
  readonly events: MeshEvents;
  readonly contexts: CallContexts;
}

interface TimeLimit {
  readonly isOver: Promise<void>;
  cancel(): void;
}

/** What a broker takes in which phase of its life, and the wait for what it has taken. */
export class BrokerLife {
  readonly #parts: LifeParts;
  readonly #work: BrokerWork;
  #state: BrokerState = 'open';
  #drain: Promise<DrainReport> | undefined;
  #ranEmpty = false;
  #onIdle: () => void = () => undefined;

  constructor(parts: LifeParts, work: BrokerWork) {
    this.#parts = parts;
    this.#work = work;
  }

  get state(): BrokerState {
    return this.#state;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  get isStopped(): boolean {
    return this.#state === 'stopped';
  }

  /**
   * While draining, work that was accepted earlier may ask for more; it runs in a call context, a stray timer does not.
   * @throws {DrainingError} for everything else that comes too late.
   */
  assertTakes(what: string): void {
    if (this.#state === 'open' || this.#state === 'drained') return;
    if (this.#state === 'stopped' || !this.#parts.contexts.current()) throw new DrainingError(what);
  }

  /** @throws {DrainingError} from the drain on. */
  assertOpen(what: string): void {
    if (this.#state !== 'open') throw new DrainingError(what);
  }

  /** Looks whether nothing is left to wait for. To be called whenever some work has ended. */
  checkIdle(): void {
    this.#onIdle();
  }

  /** Once, however often it is asked for: `windDown` stops the intake, then everything that runs is waited for. */
  drain({ deadlineAt }: DrainOptions, windDown: () => Promise<void> | void): Promise<DrainReport> {
    this.#drain ??= this.#drainOnce(deadlineAt, windDown);
    return this.#drain;
  }

  /** Ends everything, after what was asked for since a drain that ran empty; what a drain gave up is not waited for again. */
  async end(deadlineAt: number): Promise<void> {
    if (this.#state === 'drained' && this.#ranEmpty) await this.#idleOr(this.#timeLimit(deadlineAt));
    this.#state = 'stopped';
  }

  async #drainOnce(deadlineAt: number, windDown: () => Promise<void> | void): Promise<DrainReport> {
    const { clock, events } = this.#parts;
    const { isIdle, finished, unfinished } = this.#work;
    const startedAt = clock.monotonic();
    const finishedBefore = finished();
    if (this.#state === 'open') this.#state = 'draining';
    const limit = this.#timeLimit(deadlineAt);
    await Promise.race([windDown(), limit.isOver]);
    await this.#idleOr(limit);
    this.#ranEmpty = isIdle();
    if (this.#state === 'draining') this.#state = 'drained';
    const report = { finished: finished() - finishedBefore, abandoned: unfinished() };
    events.emit('broker.drained', { ...report, durationMs: clock.monotonic() - startedAt });
    return report;
  }

  #timeLimit(deadlineAt: number): TimeLimit {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { clock } = this.#parts;
    const timer = clock.setTimer(resolve, Math.max(0, deadlineAt - clock.now()));
    return { isOver: promise, cancel: () => timer.cancel() };
  }

  async #idleOr(limit: TimeLimit): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onIdle = () => {
      if (this.#work.isIdle()) resolve();
    };
    this.#onIdle();
    await Promise.race([promise, limit.isOver]);
    limit.cancel();
    this.#onIdle = () => undefined;
  }
}
