import type { BreakerState } from '../core/policy.port.js';
import type { FaultView } from './faults/fault.js';

/** One value of a policy and the layer that it comes from. */
export interface PolicyValue {
  /** As `circuitBreaker.openMs`. */
  readonly path: string;
  readonly value: unknown;
  /** As `default`, `defaults`, `pattern "http:*"`, `declared by ChargeService.charge`, `policies["payments.charge"]`. */
  readonly source: string;
}

/** A breaker at one moment. */
export interface BreakerSnapshot {
  readonly policy: string;
  readonly key?: string;
  readonly state: BreakerState;
  /** Calls, failures and slow calls in the window. */
  readonly calls: number;
  readonly failures: number;
  readonly slowCalls: number;
  readonly failureRatio: number;
  /** How often in a row it has opened without a whole window of health between. */
  readonly openings: number;
  /** Epoch ms at which it lets probes through; only while open. */
  readonly openUntil?: number;
  /** What goes wrong with its policy's calls on purpose. */
  readonly fault?: FaultView;
  /** Why an operator holds it, who, and until when (epoch ms). */
  readonly held?: { readonly reason: string; readonly author?: string; readonly until?: number };
}

/** An event of a policy with the instant (epoch ms) it happened at. */
export interface PolicyEvent {
  readonly at: number;
  readonly name: string;
  /** As it was told, its `error` reduced to name, code and message. */
  readonly event: object;
}

/** What a policy does with a call, and why. */
export interface PolicyDescription {
  readonly name: string;
  /** Who declared it in code, if anybody: `ChargeService.charge`. */
  readonly origin?: string;
  /** The protections that are on, outermost first. */
  readonly stages: readonly string[];
  /** {@link stages} as one line, for the start log. */
  readonly order: string;
  readonly values: readonly PolicyValue[];
  /** What goes wrong with its calls on purpose, right now. */
  readonly fault?: FaultView;
  readonly breakers: readonly BreakerSnapshot[];
  /** The last hundred events, oldest first. */
  readonly events: readonly PolicyEvent[];
}
