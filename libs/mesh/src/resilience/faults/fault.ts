import type { Attempt } from '../../core/policy.port.js';

/** What goes wrong with one attempt. What is left out does not. */
export interface Fault {
  /** The attempt waits before anything else, in milliseconds; `Infinity`: until it is given up or the fault is lifted. */
  readonly delayMs?: number;
  /** The attempt fails with this, and the function does not run. */
  readonly error?: unknown;
}

/** Decides for each attempt what goes wrong with it; `undefined` is nothing. */
export type FaultPlan = (attempt: Attempt) => Fault | undefined;

export type FaultKind = 'error' | 'delay' | 'hang';

/** Faults in force on a policy, as people see them. */
export interface FaultView {
  /** As `errors 30 %, delay 200 ms`. */
  readonly what: string;
  /** Epoch ms at which they end; absent for faults that code injects. */
  readonly until?: number;
}
