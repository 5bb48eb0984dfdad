/** The headers by which a message carries its call context along; `traceparent` and `tracestate` go by their own names. */
export const CONTEXT_HEADER = {
  /** How long the caller still waits, in ms. Remaining time and not an instant: no two clocks agree. */
  timeoutMs: 'mesh-timeout-ms',
  correlationId: 'mesh-correlation-id',
} as const;
