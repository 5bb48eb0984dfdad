import type { CallContext } from '../../core/call-context.js';

/**
 * Adds what the callee should know of the running work: trace, correlation, and how long the answer is waited for.
 * What the caller has set itself stays.
 * @see https://www.w3.org/TR/trace-context/
 */
export function withContext(
  given: RequestInit['headers'],
  context: CallContext | undefined,
  remainingMs: number,
): Headers {
  const headers = new Headers(given);
  const add = (name: string, value: string | undefined): void => {
    if (value !== undefined && !headers.has(name)) headers.set(name, value);
  };
  if (context?.traceparent !== undefined && !headers.has('traceparent')) {
    headers.set('traceparent', context.traceparent);
    add('tracestate', context.tracestate);
  }
  add('x-correlation-id', context?.correlationId);
  if (Number.isFinite(remainingMs)) add('x-mesh-timeout-ms', String(Math.max(0, Math.floor(remainingMs))));
  return headers;
}
