import { setTimeout as sleep } from 'node:timers/promises';
import { type Fault, faults, type Fire } from './faults.js';
import type { Timeline } from './timeline.js';

/** Every kind of fault once, in an order by chance and two at a time; each run another of its faults. */
async function strikeEachOnce(fire: Fire, timeline: Timeline): Promise<void> {
  const { random } = fire;
  const order = random.shuffled(Object.values(faults)).map((kind) => random.pick(kind));
  for (let next = 0; next < order.length; next += 2)
    await Promise.all(order.slice(next, next + 2).map((fault) => strike(fault, fire, timeline)));
}

/** All faults in an order by chance, again and again until `endsAtMs`; now and then two of different kinds at once. */
async function strikeUntil(endsAtMs: number, fire: Fire, timeline: Timeline): Promise<void> {
  const { random } = fire;
  const all = Object.entries(faults).flatMap(([kind, family]) => family.map((fault) => ({ kind, fault })));
  for (
    let left = random.shuffled(all);
    timeline.nowMs < endsAtMs;
    left = left.length > 0 ? left : random.shuffled(all)
  ) {
    const { kind, fault } = left.shift()!;
    const strikes = [strike(fault, fire, timeline)];
    const second = random.next() < 0.3 ? left.findIndex((other) => other.kind !== kind) : -1;
    if (second >= 0) strikes.push(strike(left.splice(second, 1)[0]!.fault, fire, timeline));
    await Promise.all(strikes);
    await sleep(random.between(500, 3_000));
  }
}

export function burn(fire: Fire, timeline: Timeline, forMs: number): Promise<void> {
  return fire.isLong ? strikeUntil(timeline.nowMs + forMs, fire, timeline) : strikeEachOnce(fire, timeline);
}

async function strike(fault: Fault, fire: Fire, timeline: Timeline): Promise<void> {
  // Two that burn together must not take each other's numbers.
  const random = fire.random.fork();
  await timeline.during(fault.name, () => fault.strike({ ...fire, random }));
  await sleep(random.between(300, 1_000));
}
