import type { Clock } from '../core/clock.js';
import type { HealthGroup } from '../core/health.port.js';
import type { MeshPhase } from '../core/mesh.events.js';
import { EventLoopMonitor } from './event-loop.monitor.js';
import type { HealthEntry } from './health-group.js';

const NOT_READY: Readonly<Record<Exclude<MeshPhase, 'ready'>, string>> = {
  starting: 'The application is starting.',
  draining: 'The application is shutting down.',
  stopping: 'The application is shutting down.',
  stopped: 'The application has stopped.',
  failed: 'The application failed to start.',
};

/**
 * What the application says about itself, beside what its parts say: where it is in its life, whether it wants traffic,
 * and whether its event loop still turns. It asks nobody outside the process.
 */
export class ApplicationHealth {
  onChange: () => void = () => undefined;
  readonly #eventLoop: EventLoopMonitor;
  #phase: MeshPhase = 'starting';
  #hasBeenReady = false;
  #started = false;
  #unready: string | undefined;
  #broken: string | undefined;
  #blockedMs: number | undefined;

  constructor(clock: Clock, maxEventLoopLagMs: () => number) {
    this.#eventLoop = new EventLoopMonitor(clock, (lagMs) => {
      const blockedMs = lagMs > maxEventLoopLagMs() ? Math.round(lagMs) : undefined;
      if (blockedMs === this.#blockedMs) return;
      this.#blockedMs = blockedMs;
      this.onChange();
    });
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
    this.#eventLoop.start();
  }

  stop(): void {
    this.#eventLoop.stop();
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

  #objection(group: HealthGroup, membersAreUp: boolean): string | undefined {
    switch (group) {
      case 'live':
        if (this.#broken !== undefined) return this.#broken;
        return this.#blockedMs === undefined ? undefined : `The event loop was blocked for ${this.#blockedMs} ms.`;
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
