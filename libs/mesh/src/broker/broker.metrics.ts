import type { Counter, Histogram, MetricFamily, MetricsClient } from '../core/metrics.port.js';

export type MessageDirection = 'request' | 'serve' | 'publish' | 'deliver';

/** The series of one request pattern, bound once. */
export interface RequestMetrics {
  readonly duration: Histogram;
  readonly ok: Counter;
  readonly failed: Counter;
  readonly timedOut: Counter;
  readonly cancelled: Counter;
  readonly refused: Counter;
}

/** The series of one subscription, bound once. */
export interface DeliveryMetrics {
  readonly duration: Histogram;
  readonly ok: Counter;
  readonly failed: Counter;
  readonly busy: Counter;
  readonly deadLettered: Counter;
}

/** Stands for every name that nobody serves: those names come from callers and could be any number of them. */
export const UNSERVED = '(unserved)';

/** Values that are read when metrics are collected. */
export interface BrokerLoad {
  readonly requests: () => number;
  readonly deliveries: () => number;
  readonly queued: () => number;
  readonly deadLetters: () => number;
  /** Of a broker with a server: what waits for the connection, what waits there for us, and 1 while connected. */
  readonly unsent?: () => number;
  readonly lag?: () => number;
  readonly connected?: () => number;
}

export class BrokerMetrics {
  readonly #client: MetricsClient;
  readonly #messages: MetricFamily<'topic' | 'direction' | 'outcome', Counter>;
  readonly #durations: MetricFamily<'pattern', Histogram>;
  readonly #processing: MetricFamily<'topic' | 'direction', Histogram>;

  constructor(metrics: MetricsClient) {
    this.#client = metrics;
    this.#messages = metrics.counter({
      name: 'mesh_messages_total',
      help: 'Messages by topic or pattern, direction (request, serve, publish, deliver) and outcome.',
      labels: ['topic', 'direction', 'outcome'],
    });
    this.#durations = metrics.histogram({
      name: 'mesh_request_duration_seconds',
      help: 'Time from a request to its answer, its failure or its timeout.',
      labels: ['pattern'],
    });
    this.#processing = metrics.histogram({
      name: 'mesh_message_process_duration_seconds',
      help: 'How long handlers of events (deliver) and of requests from other services (serve) took.',
      labels: ['topic', 'direction'],
    });
  }

  counter(topic: string, direction: MessageDirection, outcome: string): Counter {
    return this.#messages.with({ topic, direction, outcome });
  }

  /** @see https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/#metric-messagingprocessduration */
  processing(topic: string, direction: 'deliver' | 'serve'): Histogram {
    return this.#processing.with({ topic, direction });
  }

  request(pattern: string): RequestMetrics {
    const count = (outcome: string): Counter => this.counter(pattern, 'request', outcome);
    return {
      duration: this.#durations.with({ pattern }),
      ok: count('ok'),
      failed: count('failed'),
      timedOut: count('timeout'),
      cancelled: count('cancelled'),
      refused: count('refused'),
    };
  }

  delivery(topic: string): DeliveryMetrics {
    const count = (outcome: string): Counter => this.counter(topic, 'deliver', outcome);
    const duration = this.processing(topic, 'deliver');
    return {
      duration,
      ok: count('ok'),
      failed: count('failed'),
      busy: count('busy'),
      deadLettered: count('dead-lettered'),
    };
  }

  observeLoad(load: BrokerLoad): void {
    const inFlight = this.#client.gauge({
      name: 'mesh_messages_in_flight',
      help: 'Handlers at work, by direction (request, deliver).',
      labels: ['direction'],
    });
    const requests = inFlight.with({ direction: 'request' });
    const deliveries = inFlight.with({ direction: 'deliver' });
    const queued = this.#client.gauge({ name: 'mesh_messages_queued', help: 'Messages that wait for a subscription.' });
    const dead = this.#client.gauge({ name: 'mesh_dead_letters', help: 'Dead letters kept, of all topics.' });
    const ofServer = [
      { read: load.unsent, name: 'mesh_messages_unsent', help: 'Published messages that wait for the broker.' },
      { read: load.lag, name: 'mesh_messages_lag', help: 'Messages on the server that wait for this service.' },
      { read: load.connected, name: 'mesh_broker_connected', help: '1 while the broker is connected, otherwise 0.' },
    ].flatMap(({ read, name, help }) => {
      if (!read) return [];
      const gauge = this.#client.gauge({ name, help }).with({});
      return [() => gauge.set(read())];
    });
    const queuedNow = queued.with({});
    const deadNow = dead.with({});
    this.#client.onCollect(() => {
      requests.set(load.requests());
      deliveries.set(load.deliveries());
      queuedNow.set(load.queued());
      deadNow.set(load.deadLetters());
      for (const update of ofServer) update();
    });
  }
}
