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
  /** By permit, when the lease of the probe ends. */
  probes: Map<number, number> | undefined;
  probeSuccesses = 0;
  openUntil = 0;
  openings = 0;
  closedAt = 0;
  hold: Hold | undefined;

  constructor(
    readonly organ: OpossumSwitch,
    generation: number,
  ) {
    this.lastTicket = generation;
  }
}
