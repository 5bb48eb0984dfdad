export type HealthStatus = 'up' | 'degraded' | 'down';

/** `unknown`: never checked yet, or not for so long that the last result says nothing any more. */
export type HealthState = HealthStatus | 'unknown';

export interface HealthReport {
  readonly status: HealthStatus;
  /** Why it is not up, for people. Never a secret: it may be shown. */
  readonly reason?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** What a contributor's state means for a group: `required` takes the group down with it, `optional` only degrades it. */
export type HealthCriticality = 'required' | 'optional';

/** `live`, `ready`, `startup`, or a group of the user's own. */
export type HealthGroup = string;

/** The groups that something counts in, and how. */
export type HealthMembership = Readonly<Record<HealthGroup, HealthCriticality>>;

/** Something that knows a part of the service's health. */
export interface HealthContributor {
  readonly name: string;
  /** The groups that it counts in. @default { ready: 'optional' } */
  readonly groups?: HealthMembership;
  /** How often `check` runs, in milliseconds. @default 10_000 */
  readonly everyMs?: number;
  /** How long `check` may take, in milliseconds. @default 1_000 */
  readonly timeoutMs?: number;
  /** Share in the score for people; probes do not look at it. @default 1 */
  readonly weight?: number;
  /**
   * Asks the part how it is. Nothing returned means `up`; throwing, hanging or returning anything but a report, `down`.
   * A contributor without a check is passive: it is known only by what it is told through `HealthAggregator.update`.
   */
  check?(context: { readonly signal: AbortSignal }): Promise<HealthReport | void> | HealthReport | void;
}

/** The health of one of the things that a {@link HealthSource} knows about. */
export interface HealthSourceEntry extends HealthReport {
  readonly name: string;
  /** The groups that it counts in; `{}` for none, it is then in the overview only. @default { ready: 'optional' } */
  readonly groups?: HealthMembership;
  /**
   * What it counts as in a group that requires it, where that is worse than `status`: an open circuit breaker is
   * `degraded` in itself, but `down` for a service that cannot do without it.
   */
  readonly statusWhenRequired?: HealthStatus;
}

/** A room that knows the state of many things without asking anybody: read at every probe, so it must be cheap. */
export abstract class HealthSource {
  /** Those worth showing; what is not in the list is up. */
  abstract readHealth(): readonly HealthSourceEntry[];
}
