import type { Clock } from '../core/clock.js';
import type { EventLoopSampler } from '../core/event-loop.sampler.js';
import type { HealthGroup } from '../core/health.port.js';
import type { MeshPhase } from '../core/mesh.events.js';
import type { HealthEntry } from './health-group.js';

const NOT_READY: Readonly<Record<Exclude<MeshPhase, 'ready'>, string>> = {
  starting: 'The application is starting.',
  draining: 'The application is shutting down.',
  stopping: 'The application is shutting down.',
  stopped: 'The application has stopped.',
  failed: 'The application failed to start.',
};

/** How long a block of the event loop counts after its end: it is over, but where it came from there may be more. */
const BLOCK_COUNTS_MS = 1_000;

export interface ApplicationHealthDeps {
  readonly clock: Clock;
  readonly eventLoop: EventLoopSampler;
}

interface Block {
  readonly lengthMs: number;
  /** On the monotonic clock. */
  readonly countsUntil: number;
}

/**
 * What the application says about itself, beside what its parts say: where it is in its life, whether it wants traffic,
 * and whether its event loop still turns. It asks nobody outside the process.
 */
export class ApplicationHealth {
  onChange: () => void = () => undefined;
  readonly #clock: Clock;
  readonly #eventLoop: EventLoopSampler;
  readonly #maxEventLoopLagMs: () => number;
  #phase: MeshPhase = 'starting';
  #hasBeenReady = false;
  #started = false;
  #unready: string | undefined;
  #broken: string | undefined;
  #block: Block | undefined;
  #unsubscribe: (() => void) | undefined;

  constructor({ clock, eventLoop }: ApplicationHealthDeps, maxEventLoopLagMs: () => number) {
    this.#clock = clock;
    this.#eventLoop = eventLoop;
    this.#maxEventLoopLagMs = maxEventLoopLagMs;
  }

  get phase(): MeshPhase {
    return this.#phase;
  }

  get draining(): boolean {
    return this.#phase === 'draining' || this.#phase === 'stopping' || this.#phase === 'stopped';
  }

  /** Whether the start is over: it stays so, whatever happens later. */
  get started(): boolean {
    return this.#started;
  }

  start(): void {
    this.#unsubscribe ??= this.#eventLoop.onSample((delayMs) => this.#noteDelay(delayMs));
  }

  stop(): void {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  setPhase(phase: MeshPhase): void {
    this.#phase = phase;
    if (phase === 'ready') this.#hasBeenReady = true;
    this.onChange();
  }

  setUnready(reason: string): void {
    this.#unready = reason;
    this.onChange();
  }

  setReady(): void {
    this.#unready = undefined;
    this.onChange();
  }

  setBroken(reason: string): void {
    this.#broken = reason;
    this.onChange();
  }

  /** The application's own entry in a group's answer; `undefined` when it has nothing to object. */
  entryFor(group: HealthGroup, membersAreUp: boolean): HealthEntry | undefined {
    const reason = this.#objection(group, membersAreUp);
    return reason === undefined ? undefined : { status: 'down', reason };
  }

  #noteDelay(delayMs: number): void {
    const now = this.#clock.monotonic();
    if (delayMs > this.#maxEventLoopLagMs()) this.#block = { lengthMs: delayMs, countsUntil: now + BLOCK_COUNTS_MS };
    else if (this.#block && now >= this.#block.countsUntil) this.#block = undefined;
    else return;
    this.onChange();
  }

  #objection(group: HealthGroup, membersAreUp: boolean): string | undefined {
    switch (group) {
      case 'live':
        if (this.#broken !== undefined) return this.#broken;
        return this.#block && `The event loop was blocked for ${Math.round(this.#block.lengthMs)} ms.`;
      case 'ready':
        return this.#phase === 'ready' ? this.#unready : NOT_READY[this.#phase];
      case 'startup':
        this.#started ||= this.#hasBeenReady && membersAreUp;
        return this.#started || this.#phase === 'ready' ? undefined : NOT_READY[this.#phase];
      default:
        return undefined;
    }
  }
}
