import { AttemptRun } from './attempt-run.js';
import type { AttemptScope } from './attempt-scope.js';
import type { CallHost } from './call-host.js';
import { Pause } from './pause.js';
import type { HedgeSettings } from './policy-settings.js';
import { cancelled } from './call-errors.js';

/** Until there are enough calls to measure a percentile. */
const UNMEASURED_DELAY_MS = 2_000;

const SUPERSEDED = 'another attempt of the same call was faster';

type Finish<T> =
  | { readonly attempt: AttemptRun<T>; readonly ok: true; readonly value: T }
  | { readonly attempt: AttemptRun<T>; readonly ok: false; readonly error: unknown };

/**
 * Gives a slow attempt a twin after a delay. The first success wins and the others are aborted; a failure waits for the
 * attempts that still run. Each extra attempt spends the retry budget.
 *
 * @see https://research.google/pubs/the-tail-at-scale/
 */
export async function raceHedged<T>(
  scope: AttemptScope<T>,
  host: CallHost,
  settings: HedgeSettings,
  mayHedge: () => boolean,
): Promise<T> {
  const running = new Map<AttemptRun<T>, Promise<Finish<T>>>();
  const launch = (number: number): void => {
    const attempt = new AttemptRun(scope, number, host.clock.monotonic());
    const finish = attempt.start().then(
      (value): Finish<T> => ({ attempt, ok: true, value }),
      (error: unknown): Finish<T> => ({ attempt, ok: false, error }),
    );
    running.set(attempt, finish);
  };

  let launched = 1;
  let hedging = mayHedge();
  launch(launched);
  for (;;) {
    const delayMs = hedgeDelayMs(settings, host);
    const pause =
      hedging && launched <= settings.maxHedges
        ? new Pause(host.clock.monotonic() + delayMs, host.queue, undefined, () => cancelled(host.name, SUPERSEDED))
        : undefined;
    // When the application goes down, what runs may still end; only nothing begins any more.
    const over = pause?.over.catch(() => void (hedging = false));
    const first = await Promise.race<Finish<T> | void>(over ? [...running.values(), over] : running.values());
    if (!first) {
      hedging &&= mayHedge() && trySpend(host);
      if (!hedging) continue;
      launched++;
      host.observer.countHedge();
      host.observer.emit('call.hedge', { policy: host.name, attempt: launched, afterMs: delayMs });
      launch(launched);
      continue;
    }
    pause?.end();
    const { attempt } = first;
    running.delete(attempt);
    const won = attempt.outcome === 'success';
    if (!won && running.size > 0) continue;
    for (const loser of running.keys()) loser.cancel(cancelled(host.name, SUPERSEDED));
    host.observer.count(attempt.outcome);
    if (first.ok) return first.value;
    throw first.error;
  }
}

function hedgeDelayMs({ delayMs, minDelayMs }: HedgeSettings, { latency }: CallHost): number {
  if (delayMs !== 'p95') return delayMs;
  return latency?.p95 === undefined ? UNMEASURED_DELAY_MS : Math.max(minDelayMs, latency.p95);
}

function trySpend({ budget, clock, draining }: CallHost): boolean {
  return !draining && (budget?.trySpend(clock.monotonic()) ?? true);
}
