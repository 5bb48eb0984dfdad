/** Label sets per metric before further ones go to the overflow series. */
export const DEFAULT_SERIES_LIMIT = 1_000;

/** The value of every label of a metric's overflow series. */
export const OVERFLOW_LABEL = '__other__';

/**
 * Upper bounds in seconds of what people and services wait for.
 * @see https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpserverrequestduration
 */
export const LATENCY_BUCKETS: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
];

/** How many lines a scrape writes before it lets the event loop turn: about one millisecond of work. */
export const LINES_PER_TURN = 2_000;

/** How long a scrape waits for the metrics of others: well below Prometheus's `scrape_timeout`, 10 s by default. */
export const MAX_FOREIGN_READ_MS = 3_000;
