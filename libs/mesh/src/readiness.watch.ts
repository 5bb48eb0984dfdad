import type { HealthWatch } from './config/config.participant.js';
import type { Clock, Timer } from './core/clock.js';
import type { MeshEvents } from './core/mesh.events.js';
import type { HealthAggregator } from './health/health.aggregator.js';
import { APPLICATION } from './health/health-members.js';

/** How often what readiness requires is asked while an update is watched: often enough for three failures in 5 s. */
const ASK_EVERY_MS = 1_000;

/**
 * Watches what the group `ready` requires. What was down before the update is not held against it, and neither is the
 * application's own decision to leave. Contributors are asked more often than usual, because at their own pace most would
 * not be asked at all before the watch is over.
 */
export function readinessWatch(health: HealthAggregator, events: MeshEvents, clock: Clock): HealthWatch {
  return (onDown) => {
    const downBefore = new Set(requiredAndDown(health).map(([name]) => name));
    const look = (): void => {
      for (const [name, reason] of requiredAndDown(health)) if (!downBefore.has(name)) return onDown(name, reason);
    };
    let timer: Timer;
    const askAgain = (): void => {
      timer = clock.setTimer(() => {
        // What a check finds comes as a transition. One that still runs is joined: nothing piles up.
        for (const name of requiredContributors(health)) void health.checkNow(name);
        askAgain();
      }, ASK_EVERY_MS);
    };
    askAgain();
    // A circuit breaker that readiness requires makes no transition of its own, so both are reasons to look.
    const stops = [events.on('health.transition', look), events.on('breaker.transition', look)];
    return () => {
      timer.cancel();
      for (const stop of stops) stop();
    };
  };
}

function requiredAndDown(health: HealthAggregator): (readonly [name: string, reason: string])[] {
  return Object.entries(health.snapshot('ready').entries)
    .filter(([name, { status }]) => name !== APPLICATION && status === 'down')
    .map(([name, { reason }]) => [name, reason ?? 'it is down'] as const);
}

function requiredContributors(health: HealthAggregator): string[] {
  return health
    .overview()
    .components.filter(({ groups, history }) => groups['ready'] === 'required' && history !== undefined)
    .map(({ name }) => name);
}
