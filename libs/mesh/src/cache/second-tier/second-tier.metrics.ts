import type { Counter, Gauge, Histogram, MetricFamily, MetricsClient } from '../../core/metrics.port.js';

export type SecondTierOperation = 'read' | 'write' | 'probe';
export type SecondTierFailure = 'timeout' | 'error' | 'refused';

/** The second tier's own numbers. */
export class SecondTierMetrics {
  readonly dropped: Counter;
  readonly undecodable: Counter;
  readonly unencodable: Counter;
  readonly queued: Gauge;
  readonly up: Gauge;
  readonly #errors: MetricFamily<'op' | 'kind', Counter>;
  readonly #durations: Readonly<Record<SecondTierOperation, Histogram>>;

  constructor(metrics: MetricsClient) {
    const codec = metrics.counter({
      name: 'mesh_cache_codec_errors_total',
      help: 'Values that could not be encoded for the second tier, or decoded from it.',
      labels: ['op'],
    });
    this.unencodable = codec.with({ op: 'encode' });
    this.undecodable = codec.with({ op: 'decode' });
    this.dropped = metrics
      .counter({ name: 'mesh_cache_l2_dropped_total', help: 'Writes given up because the queue was full.' })
      .with({});
    this.queued = metrics
      .gauge({ name: 'mesh_cache_l2_queue_entries', help: 'Writes that wait for the second tier.' })
      .with({});
    this.up = metrics
      .gauge({ name: 'mesh_cache_l2_up', help: '1 while the second tier is used, 0 while it is away.' })
      .with({});
    this.#errors = metrics.counter({
      name: 'mesh_cache_l2_errors_total',
      help: 'Operations of the second tier that failed.',
      labels: ['op', 'kind'],
    });
    const duration = metrics.histogram({
      name: 'mesh_cache_l2_duration_seconds',
      help: 'Duration of operations of the second tier.',
      labels: ['op'],
    });
    const of = (op: SecondTierOperation): Histogram => duration.with({ op });
    this.#durations = { read: of('read'), write: of('write'), probe: of('probe') };
  }

  succeeded(op: SecondTierOperation, durationMs: number): void {
    this.#durations[op].observe(durationMs / 1_000);
  }

  failed(op: SecondTierOperation, kind: SecondTierFailure): void {
    this.#errors.with({ op, kind }).inc();
  }
}
