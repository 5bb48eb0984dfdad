import type { HealthCriticality, HealthGroup } from '../core/health.port.js';
import type { ApplicationHealth } from './application-health.js';
import { APPLICATION, type Member } from './health-members.js';
import { type HealthEntries, type HealthEntry, type HealthSnapshot, toEntry, worstOf } from './health-group.js';

const BUILT_IN_GROUPS: readonly HealthGroup[] = ['live', 'ready', 'startup'];

/** A group's own status is another one now. */
export interface GroupChange {
  readonly group: HealthGroup;
  readonly from: HealthSnapshot['status'];
  readonly to: HealthSnapshot['status'];
  readonly reason?: string;
  readonly draining?: true;
}

export interface HealthSnapshotsDeps {
  /** Everything that counts somewhere, as it is now. */
  readonly members: () => readonly Member[];
  readonly application: ApplicationHealth;
}

/** What each group answers, composed once and kept until something changes. */
export class HealthSnapshots {
  readonly #deps: HealthSnapshotsDeps;
  readonly #kept = new Map<HealthGroup, HealthSnapshot>();
  readonly #statuses = new Map<HealthGroup, HealthSnapshot['status']>();

  constructor(deps: HealthSnapshotsDeps) {
    this.#deps = deps;
  }

  /** The three built-in groups and those that somebody counts in. */
  groups(): readonly HealthGroup[] {
    const groups = new Set(BUILT_IN_GROUPS);
    for (const { groups: membership } of this.#deps.members())
      for (const group of Object.keys(membership)) groups.add(group);
    return [...groups];
  }

  of(group: HealthGroup): HealthSnapshot {
    return this.#kept.get(group) ?? this.#compose(group);
  }

  /** Forgets what was composed. */
  invalidate(): void {
    this.#kept.clear();
  }

  /** The built-in groups that answer something else than the last time that this was asked, and who made them so. */
  changes(): readonly GroupChange[] {
    return BUILT_IN_GROUPS.flatMap((group) => {
      const { status, entries, draining } = this.of(group);
      const before = this.#statuses.get(group);
      this.#statuses.set(group, status);
      if (before === undefined || before === status) return [];
      return { group, from: before, to: status, ...causeOf(entries, status), ...(draining && { draining: true }) };
    });
  }

  #compose(group: HealthGroup): HealthSnapshot {
    const { members, application } = this.#deps;
    const counted = members().filter(({ groups, isJoining }) => Object.hasOwn(groups, group) && !isJoining);
    const known = counted.length > 0 || BUILT_IN_GROUPS.includes(group);
    const entries: Record<string, HealthEntry> = {};
    for (const member of counted) entries[member.name] = toEntry(member, this.#criticality(member, group));
    const own = known
      ? application.entryFor(group, worstOf(entries) !== 'down')
      : ({ status: 'down', reason: `Nothing counts in the health group "${group}".` } as const);
    if (own) entries[APPLICATION] = own;
    const draining = group === 'ready' && application.draining;
    const snapshot: HealthSnapshot = { group, status: worstOf(entries), draining, entries };
    // Only groups that exist are kept: the name may come from outside.
    if (known) this.#kept.set(group, snapshot);
    return snapshot;
  }

  /** A start that is over stays over: from then on nothing takes `startup` down. */
  #criticality({ groups }: Member, group: HealthGroup): HealthCriticality {
    return group === 'startup' && this.#deps.application.started ? 'optional' : groups[group]!;
  }
}

/** Which entry made the group what it is: the first that is as bad as the group. */
function causeOf(entries: HealthEntries, status: HealthSnapshot['status']): { reason?: string } {
  if (status === 'up') return {};
  const [name, entry] = Object.entries(entries).find(([, candidate]) => candidate.status === status)!;
  return { reason: entry.reason === undefined ? name : `${name}: ${entry.reason}` };
}
