import type { OpossumSwitch } from './opossum.adapter.js';

/** What an operator decided about a breaker. */
export interface Hold {
  readonly reason: string;
  readonly author: string | undefined;
  /** Monotonic. */
  readonly until: number;
}

/** What only a breaker has that has failed, or that an operator has held. Instants are monotonic. */
export class BreakerPast {
  // Permits and generations come from one sequence, so that a permit can never be taken for one of another generation.
  lastTicket: number;
  probeSuccesses = 0;
  openUntil = 0;
  openings = 0;
  closedAt = 0;
  hold: Hold | undefined;
  /** By permit, when the lease of the probe ends. */
  #probes: Map<number, number> | undefined;
  /** Probes without a place that have not answered yet: where every call outlasts the lease, only they can close it. */
  #overdue: Set<number> | undefined;

  constructor(
    readonly organ: OpossumSwitch,
    generation: number,
  ) {
    this.lastTicket = generation;
  }

  /** How many probes hold a place. */
  probesRunning(now: number): number {
    if (!this.#probes) return 0;
    for (const [permit, leaseEnds] of this.#probes)
      if (leaseEnds <= now) {
        this.#probes.delete(permit);
        (this.#overdue ??= new Set()).add(permit);
      }
    return this.#probes.size;
  }

  beginProbe(leaseEnds: number): number {
    const permit = ++this.lastTicket;
    (this.#probes ??= new Map()).set(permit, leaseEnds);
    return permit;
  }

  /** Whether the permit was that of a probe which had not ended. */
  endProbe(permit: number): boolean {
    return (this.#probes?.delete(permit) || this.#overdue?.delete(permit)) ?? false;
  }

  forgetProbes(): void {
    this.#probes = this.#overdue = undefined;
    this.probeSuccesses = 0;
  }
}
