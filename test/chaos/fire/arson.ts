import { setTimeout as sleep } from 'node:timers/promises';
import { type Fault, faults, type Fire } from './faults.js';
import type { Timeline } from './timeline.js';

/** Every kind of fault once, in an order by chance; each time another of its faults. */
async function strikeEachOnce(fire: Fire, timeline: Timeline): Promise<void> {
  for (const fault of fire.random.shuffled(Object.values(faults)).map((kind) => fire.random.pick(kind)))
    await strike(fault, fire, timeline);
}

/** All faults in an order by chance, again and again until `endsAtMs`; now and then two at once that hit different things. */
async function strikeUntil(endsAtMs: number, fire: Fire, timeline: Timeline): Promise<void> {
  const { random } = fire;
  const all = Object.entries(faults).flatMap(([kind, family]) => family.map((fault) => ({ kind, fault })));
  while (timeline.nowMs < endsAtMs) {
    const left = random.shuffled(all);
    while (left.length > 0 && timeline.nowMs < endsAtMs) {
      const { kind, fault } = left.shift()!;
      const strikes = [strike(fault, fire, timeline)];
      const second = random.next() < 0.3 ? left.findIndex((other) => !clash(kind, other.kind)) : -1;
      if (second >= 0) strikes.push(strike(left.splice(second, 1)[0]!.fault, fire, timeline));
      await Promise.all(strikes);
      await sleep(random.between(500, 3_000));
    }
  }
}

export function burn(fire: Fire, timeline: Timeline, forMs: number): Promise<void> {
  return fire.isLong ? strikeUntil(timeline.nowMs + forMs, fire, timeline) : strikeEachOnce(fire, timeline);
}

/** Both restarts may pick the same instance, and one that starts needs NATS. */
function clash(one: string, other: string): boolean {
  const restarts = (kind: string): boolean => kind === 'stop' || kind === 'kill';
  return one === other || (restarts(one) && restarts(other));
}

async function strike(fault: Fault, fire: Fire, timeline: Timeline): Promise<void> {
  await timeline.during(fault.name, () => fault.strike(fire));
  await sleep(fire.random.between(300, 1_000));
}
