import type { IncomingHttpHeaders } from 'node:http';
import type { CallContext } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { Ids } from '../core/ids.js';
import { traceOf, type TraceContext } from '../core/trace-context.js';

// What ends up in log lines and outgoing headers comes from strangers: printable, no spaces, bounded.
const SANE_ID = /^[\w.:/+=@~-]{1,128}$/;
const REMAINING_MS = /^\d{1,9}$/;

/**
 * The call context of an inbound HTTP request. Headers that make no sense are taken as absent. `active` is the span that
 * the application's own tracing has opened for it already, which then stands between the caller and us.
 */
export function inboundContext(
  headers: IncomingHttpHeaders,
  clock: Clock,
  ids: Ids,
  active?: TraceContext,
): CallContext {
  const correlationId = sane(headers['x-correlation-id']) ?? sane(headers['x-request-id']) ?? ids.next();
  const trace = active ?? traceOf(headers);
  const timeoutMs = text(headers['x-mesh-timeout-ms']);
  // Most requests carry neither, and spreading nothing costs nearly as much as spreading something.
  const context: CallContext = trace ? { correlationId, ...trace } : { correlationId };
  if (timeoutMs === undefined || !REMAINING_MS.test(timeoutMs)) return context;
  return { ...context, deadlineAt: clock.now() + Number(timeoutMs) };
}

function sane(header: string | string[] | undefined): string | undefined {
  const id = text(header);
  return id !== undefined && SANE_ID.test(id) ? id : undefined;
}

function text(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined;
}
