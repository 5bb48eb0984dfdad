import type { EventSubscription } from './event-subscription.js';

/** The subscriptions of one topic by group: each message goes to one member of each group. */
export class Topic {
  readonly #groups = new Map<string | EventSubscription, EventSubscription[]>();

  add(subscription: EventSubscription): void {
    const group = subscription.group ?? subscription;
    const members = this.#groups.get(group);
    if (members) members.push(subscription);
    else this.#groups.set(group, [subscription]);
  }

  remove(subscription: EventSubscription): void {
    const group = subscription.group ?? subscription;
    const members = this.#groups.get(group)?.filter((member) => member !== subscription) ?? [];
    if (members.length > 0) this.#groups.set(group, members);
    else this.#groups.delete(group);
  }

  get isEmpty(): boolean {
    return this.#groups.size === 0;
  }

  /** The least loaded member of each group. */
  receivers(): EventSubscription[] {
    const receivers: EventSubscription[] = [];
    for (const members of this.#groups.values())
      receivers.push(members.length === 1 ? members[0]! : leastLoaded(members));
    return receivers;
  }

  find(name: string): EventSubscription | undefined {
    for (const members of this.#groups.values()) for (const member of members) if (member.name === name) return member;
    return undefined;
  }
}

function leastLoaded(members: readonly EventSubscription[]): EventSubscription {
  const load = (member: EventSubscription): number => member.queued + member.running.size;
  return members.reduce((least, member) => (load(member) < load(least) ? member : least));
}
