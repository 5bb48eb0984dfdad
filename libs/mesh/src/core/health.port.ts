export type HealthStatus = 'up' | 'degraded' | 'down';

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

/** Something that knows a part of the service's health. */
export interface HealthContributor {
  readonly name: string;
  /** The groups that it counts in. @default { ready: 'optional' } */
  readonly groups?: Readonly<Record<HealthGroup, HealthCriticality>>;
  /** How often `check` runs, in milliseconds. @default 10_000 */
  readonly everyMs?: number;
  /** How long `check` may take, in milliseconds. @default 1_000 */
  readonly timeoutMs?: number;
  check(context: { readonly signal: AbortSignal }): Promise<HealthReport | void> | HealthReport | void;
}

/** A room that knows the state of many things without asking anybody: read at every probe, so it must be cheap. */
export abstract class HealthSource {
  abstract readHealth(): readonly (HealthReport & {
    readonly name: string;
    readonly groups?: Readonly<Record<HealthGroup, HealthCriticality>>;
  })[];
}
