import type { HealthContributor, HealthMembership, HealthSourceEntry } from '../core/health.port.js';
import { MeshConfigError } from '../core/mesh.errors.js';
import type { HealthMember } from './health-group.js';
import type { HealthMonitor } from './health.monitor.js';
import { contributorSchema, type HealthOptions } from './health.options.js';

const DEFAULT_GROUPS: HealthMembership = { ready: 'optional' };
const NAME = /^[A-Za-z0-9][\w.:/@-]{0,127}$/;

/** The entry that stands for the application itself in a group's answer. */
export const APPLICATION = 'application';

/** A contributor or a source's thing, with everything that decides what it counts. */
export interface Member extends HealthMember {
  readonly groups: HealthMembership;
  readonly weight: number;
  /** Of a contributor. */
  readonly monitor?: HealthMonitor;
  /** It joined a service that runs and has no result yet: it counts nowhere so far. */
  readonly isJoining?: boolean;
}

/** Everything that counts somewhere, with the configuration's word above the code's. */
export function membersOf(from: {
  readonly monitors: Iterable<HealthMonitor>;
  readonly joining: ReadonlySet<HealthMonitor>;
  readonly sources: readonly HealthSourceEntry[];
  readonly settings: HealthOptions['contributors'];
}): Member[] {
  const members: Member[] = [];
  for (const monitor of from.monitors) {
    const { name, groups, weight } = monitor.contributor;
    const { state, reason, details } = monitor;
    const own = from.settings[name];
    members.push({
      name,
      state,
      reason,
      details,
      groups: own?.groups ?? groups ?? DEFAULT_GROUPS,
      weight: own?.weight ?? weight ?? 1,
      monitor,
      isJoining: from.joining.has(monitor),
    });
  }
  for (const { name, status, statusWhenRequired, reason, details, groups } of from.sources) {
    const own = from.settings[name];
    members.push({
      name,
      state: status,
      statusWhenRequired,
      reason,
      details,
      groups: own?.groups ?? groups ?? DEFAULT_GROUPS,
      weight: own?.weight ?? 1,
    });
  }
  return members;
}

/** @throws {MeshConfigError} for a name that cannot stand in answers and labels, and for settings out of their limits. */
export function assertContributor({ name, groups, everyMs, timeoutMs, weight }: HealthContributor): void {
  if (!NAME.test(name) || name === APPLICATION)
    throw new MeshConfigError(
      `"${name}" cannot be a health contributor's name: use up to 128 letters, digits and . : / @ _ -, and not "${APPLICATION}".`,
    );
  const { error } = contributorSchema.safeParse({ groups, everyMs, timeoutMs, weight });
  if (!error) return;
  const problems = error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
  throw new MeshConfigError(`The health contributor "${name}" has bad settings: ${problems}.`);
}
