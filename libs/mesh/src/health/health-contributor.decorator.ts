import { SetMetadata } from '@nestjs/common';
import type {
  HealthContributor as Contributor,
  HealthCriticality,
  HealthGroup,
  HealthMembership,
} from '../core/health.port.js';

/** Where the decorator leaves what the explorer reads. */
export const HEALTH_CONTRIBUTOR = Symbol('nestjs-mesh.health-contributor');

export interface HealthContributorOptions {
  /** The groups that it counts in: with what each makes of it, or a list, to which `criticality` applies. @default ['ready'] */
  readonly groups?: HealthMembership | readonly HealthGroup[];
  /** What a listed group makes of it. @default 'optional' */
  readonly criticality?: HealthCriticality;
  /** How often it runs, in milliseconds. @default 10_000 */
  readonly everyMs?: number;
  /** How long it may take, in milliseconds. @default 1_000 */
  readonly timeoutMs?: number;
  /** Share in the score for people. @default 1 */
  readonly weight?: number;
}

/** What `HealthAggregator.register` takes. It shares its name with the decorator, which makes one of a method. */
export type HealthContributor = Contributor;

export interface HealthContributorMetadata {
  readonly name: string;
  readonly options: HealthContributorOptions;
}

/**
 * Makes a method of a provider a health check. It is called in the background, with `{ signal }` that aborts when its
 * time is over; returning nothing means `up`, throwing means `down`, a `HealthReport` says it exactly.
 */
export function HealthContributor(name: string, options: HealthContributorOptions = {}): MethodDecorator {
  return SetMetadata<symbol, HealthContributorMetadata>(HEALTH_CONTRIBUTOR, { name, options });
}

/** The memberships that the options ask for. */
export function membershipOf({
  groups = ['ready'],
  criticality = 'optional',
}: HealthContributorOptions): HealthMembership {
  return isList(groups) ? Object.fromEntries(groups.map((group) => [group, criticality])) : groups;
}

function isList(groups: HealthMembership | readonly HealthGroup[]): groups is readonly HealthGroup[] {
  return Array.isArray(groups);
}
