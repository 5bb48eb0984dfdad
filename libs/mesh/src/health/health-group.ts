import type { HealthCriticality, HealthGroup, HealthState, HealthStatus } from '../core/health.port.js';

/** What one thing says in a group's answer. The keys beside these three are the thing's own details. */
export interface HealthEntry {
  readonly [detail: string]: unknown;
  /** What it means for the group: something optional never counts as worse than `degraded`. */
  readonly status: HealthStatus;
  /** Its own state, where that differs from what it means for the group. */
  readonly state?: HealthState;
  readonly reason?: string;
}

/** By name. This is also what a Terminus indicator returns. */
export type HealthEntries = Readonly<Record<string, HealthEntry>>;

/** The health of a group at one moment; immutable, and the same object until something changes. */
export interface HealthSnapshot {
  readonly group: HealthGroup;
  readonly status: HealthStatus;
  /** Whether the service is on its way out: probes then answer `shutting_down`. */
  readonly draining: boolean;
  readonly entries: HealthEntries;
}

/** Anything that counts in a group. */
export interface HealthMember {
  readonly name: string;
  readonly state: HealthState;
  readonly statusWhenRequired?: HealthStatus | undefined;
  readonly reason?: string | undefined;
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

const SEVERITY: Readonly<Record<HealthStatus, number>> = { up: 0, degraded: 1, down: 2 };
const SCORE: Readonly<Record<HealthState, number>> = { up: 1, degraded: 0.5, down: 0, unknown: 0 };

function worseOf(a: HealthStatus, b: HealthStatus): HealthStatus {
  return SEVERITY[a] >= SEVERITY[b] ? a : b;
}

/** What a member's state means for a group. What is not known counts as not there. */
export function statusIn(member: HealthMember, criticality: HealthCriticality): HealthStatus {
  const status = member.state === 'unknown' ? 'down' : member.state;
  if (criticality === 'required') return worseOf(status, member.statusWhenRequired ?? status);
  return status === 'down' ? 'degraded' : status;
}

export function toEntry(member: HealthMember, criticality: HealthCriticality): HealthEntry {
  const { state, reason, details } = member;
  const status = statusIn(member, criticality);
  const { state: _ofAnotherMeaning, ...shown } = details ?? {};
  return {
    ...shown,
    ...(reason !== undefined && { reason }),
    ...(state !== status && { state }),
    status,
  };
}

export function worstOf(entries: HealthEntries): HealthStatus {
  let worst: HealthStatus = 'up';
  for (const name in entries) worst = worseOf(worst, entries[name]!.status);
  return worst;
}

/** The weighted mean of all states, 0 to 100: for people and trends, never for probes. */
export function scoreOf(members: readonly { readonly state: HealthState; readonly weight: number }[]): number {
  let sum = 0;
  let weights = 0;
  for (const { state, weight } of members) {
    sum += SCORE[state] * weight;
    weights += weight;
  }
  return weights === 0 ? 100 : Math.round((100 * sum) / weights);
}
