import { describe, expect, it } from 'vitest';
import type { HealthStatus } from '../core/health.port.js';
import { HealthHistory } from './health-history.js';

function historyOf(
  ...runs: readonly (readonly [count: number, durationMs: number | undefined, status?: HealthStatus])[]
) {
  const history = new HealthHistory();
  for (const [count, durationMs, status = 'up'] of runs) {
    for (let i = 0; i < count; i++) history.add({ status, ...(durationMs !== undefined && { durationMs }) });
  }
  return history.summary();
}

describe('HealthHistory', () => {
  it('says nothing bad before the first result', () => {
    expect(historyOf()).toEqual({
      results: 0,
      availability: 1,
      p50Ms: 0,
      p95Ms: 0,
      trend: 'stable',
      transitions: [],
    });
  });

  it('forgets all but the last sixty results', () => {
    expect(historyOf([40, 1, 'down'], [60, 1])).toMatchObject({ results: 60, availability: 1 });
  });

  it('counts degraded as available', () => {
    expect(historyOf([3, 1, 'down'], [1, 1, 'degraded']).availability).toBe(0.25);
  });

  it('ranks the durations', () => {
    expect(historyOf([50, 10], [10, 200])).toMatchObject({ p50Ms: 10, p95Ms: 200 });
  });

  it('leaves results without a duration out of the ranks', () => {
    expect(historyOf([9, undefined, 'down'], [3, 1_000, 'down'])).toMatchObject({
      results: 12,
      availability: 0,
      p50Ms: 1_000,
      p95Ms: 1_000,
    });
    expect(historyOf([9, undefined, 'down']).p50Ms).toBe(0);
  });

  it.each([
    [
      'stable',
      'too few results',
      [
        [4, 1],
        [4, 1, 'down'],
      ],
    ],
    [
      'stable',
      'a newer half in which nobody was asked',
      [
        [10, 1_000, 'down'],
        [10, undefined, 'down'],
      ],
    ],
    [
      'worsening',
      'failures that increase',
      [
        [10, 1],
        [10, 1, 'down'],
      ],
    ],
    [
      'improving',
      'failures that end',
      [
        [10, 1, 'down'],
        [10, 1],
      ],
    ],
    [
      'worsening',
      'a latency that doubles',
      [
        [10, 20],
        [10, 40],
      ],
    ],
    [
      'improving',
      'a latency that halves',
      [
        [10, 40],
        [10, 20],
      ],
    ],
    [
      'stable',
      'a latency that doubles within noise',
      [
        [10, 1],
        [10, 2],
      ],
    ],
  ] as const)('is %s for %s', (trend, _what, runs) => {
    expect(historyOf(...runs).trend).toBe(trend);
  });

  it('keeps the last twenty transitions, newest last', () => {
    const history = new HealthHistory();
    for (let at = 0; at < 30; at++) history.addTransition({ at, from: 'up', to: 'down' });
    expect(history.summary().transitions.map(({ at }) => at)).toEqual(Array.from({ length: 20 }, (_, i) => i + 10));
  });
});
