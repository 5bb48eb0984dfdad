import { inspect } from 'node:util';
import type { Counter, Gauge, Histogram, MetricFamily, MetricsClient } from '../core/metrics.port.js';
import type { BreakerState } from '../core/policy.port.js';

/** The metric families of the room. Keys of keyed breakers are never labels. */
export class ResilienceMetrics {
  readonly calls: MetricFamily<'policy' | 'outcome', Counter>;
  readonly durations: MetricFamily<'policy', Histogram>;
  readonly inFlight: Gauge;
  readonly retries: MetricFamily<'policy', Counter>;
  readonly hedges: MetricFamily<'policy', Counter>;
  readonly faults: MetricFamily<'policy' | 'kind', Counter>;
  readonly transitions: MetricFamily<'policy' | 'from' | 'to', Counter>;
  readonly states: MetricFamily<'policy' | 'state', Gauge>;
  #hasFailed = false;

  constructor(metrics: MetricsClient) {
    this.calls = metrics.counter({
      name: 'mesh_calls_total',
      help: 'Calls through a policy, by how they ended.',
      labels: ['policy', 'outcome'],
    });
    this.durations = metrics.histogram({
      name: 'mesh_call_duration_seconds',
      help: 'How long the protected functions ran, each attempt for itself; refused calls are not in it.',
      labels: ['policy'],
    });
    this.inFlight = metrics
      .gauge({
        name: 'mesh_calls_in_flight',
        help: 'Attempts of calls through policies that run, wait for a slot or pause before the next one.',
      })
      .with({});
    this.retries = metrics.counter({
      name: 'mesh_retries_total',
      help: 'Attempts after the first one.',
      labels: ['policy'],
    });
    this.hedges = metrics.counter({
      name: 'mesh_hedges_total',
      help: 'Extra attempts beside a slow one.',
      labels: ['policy'],
    });
    this.faults = metrics.counter({
      name: 'mesh_faults_injected_total',
      help: 'Faults injected into attempts on purpose: errors, delays, hangs.',
      labels: ['policy', 'kind'],
    });
    this.transitions = metrics.counter({
      name: 'mesh_breaker_transitions_total',
      help: 'State changes of circuit breakers.',
      labels: ['policy', 'from', 'to'],
    });
    this.states = metrics.gauge({
      name: 'mesh_breaker_state',
      help: 'How many breakers of the policy are in the state.',
      labels: ['policy', 'state'],
    });
  }

  /** A client of the user's threw. That touches no call; the process is warned once, because it would be at each of them. */
  failed(error: unknown): void {
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    process.emitWarning(
      `The metrics client threw, so that metrics of calls are missing: ${inspect(error, { depth: 0 })}`,
      'MeshWarning',
    );
  }
}

export const BREAKER_STATES: readonly BreakerState[] = ['closed', 'open', 'half-open', 'isolated', 'disabled'];
