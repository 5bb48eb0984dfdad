import type { HealthState, HealthStatus } from '../core/health.port.js';

const MAX_RESULTS = 60;
const MAX_TRANSITIONS = 20;
/** Fewer results say nothing about a direction. */
const MIN_TREND_RESULTS = 10;
const TREND_AVAILABILITY = 0.1;
const TREND_LATENCY_RATIO = 1.5;
/** Milliseconds below which a latency that doubles is noise. */
const TREND_LATENCY_FLOOR_MS = 5;

export type HealthTrend = 'improving' | 'stable' | 'worsening';

export interface HealthResult {
  readonly status: HealthStatus;
  /** Absent when nobody was asked, because the check before still hung. */
  readonly durationMs?: number;
}

export interface HealthTransition {
  /** Epoch ms. */
  readonly at: number;
  readonly from: HealthState;
  readonly to: HealthState;
  readonly cause?: string;
}

/** What the last results of one contributor say. */
export interface HealthHistorySummary {
  readonly results: number;
  /** Share of the results that were not down, 0 to 1; 1 without results. */
  readonly availability: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly trend: HealthTrend;
  /** Newest last. */
  readonly transitions: readonly HealthTransition[];
}

/** The last 60 results and the last 20 transitions of one contributor. */
export class HealthHistory {
  readonly #results: HealthResult[] = [];
  readonly #transitions: HealthTransition[] = [];

  add(result: HealthResult): void {
    this.#results.push(result);
    if (this.#results.length > MAX_RESULTS) this.#results.shift();
  }

  addTransition(transition: HealthTransition): void {
    this.#transitions.push(transition);
    if (this.#transitions.length > MAX_TRANSITIONS) this.#transitions.shift();
  }

  summary(): HealthHistorySummary {
    return {
      results: this.#results.length,
      availability: availability(this.#results),
      p50Ms: percentile(this.#results, 0.5) ?? 0,
      p95Ms: percentile(this.#results, 0.95) ?? 0,
      trend: this.#trend(),
      transitions: [...this.#transitions],
    };
  }

  /** Compares the older half with the newer one: first by availability, then by the median latency. */
  #trend(): HealthTrend {
    if (this.#results.length < MIN_TREND_RESULTS) return 'stable';
    const middle = this.#results.length >> 1;
    const older = this.#results.slice(0, middle);
    const newer = this.#results.slice(middle);
    const gain = availability(newer) - availability(older);
    if (Math.abs(gain) > TREND_AVAILABILITY) return gain > 0 ? 'improving' : 'worsening';
    const before = percentile(older, 0.5);
    const after = percentile(newer, 0.5);
    if (before === undefined || after === undefined) return 'stable';
    if (Math.abs(after - before) < TREND_LATENCY_FLOOR_MS) return 'stable';
    if (after > before * TREND_LATENCY_RATIO) return 'worsening';
    return before > after * TREND_LATENCY_RATIO ? 'improving' : 'stable';
  }
}

function availability(results: readonly HealthResult[]): number {
  return results.length === 0 ? 1 : results.filter(({ status }) => status !== 'down').length / results.length;
}

/** The nearest-rank percentile of the durations, in milliseconds. */
function percentile(results: readonly HealthResult[], ratio: number): number | undefined {
  const sorted = results.flatMap(({ durationMs }) => durationMs ?? []).sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(ratio * sorted.length) - 1)];
}
