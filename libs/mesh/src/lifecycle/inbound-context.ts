import type { IncomingHttpHeaders } from 'node:http';
import type { CallContext } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { Ids } from '../core/ids.js';

// What ends up in log lines and outgoing headers comes from strangers: printable, no spaces, bounded.
const SANE_ID = /^[\w.:/+=@~-]{1,128}$/;
/** @see https://www.w3.org/TR/trace-context/#traceparent-header */
const TRACEPARENT = /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/;
const REMAINING_MS = /^\d{1,9}$/;
const TRACESTATE_MAX = 512;

/** The call context of an inbound HTTP request. Headers that make no sense are taken as absent. */
export function inboundContext(headers: IncomingHttpHeaders, clock: Clock, ids: Ids): CallContext {
  const correlationId = sane(headers['x-correlation-id']) ?? sane(headers['x-request-id']) ?? ids.next();
  const traceparent = text(headers['traceparent']);
  const timeoutMs = text(headers['x-mesh-timeout-ms']);
  const traced = traceparent !== undefined && TRACEPARENT.test(traceparent);
  const tracestate = traced ? text(headers['tracestate']) : undefined;
  return {
    correlationId,
    ...(traced && { traceparent }),
    ...(tracestate !== undefined && tracestate.length <= TRACESTATE_MAX && { tracestate }),
    ...(timeoutMs !== undefined && REMAINING_MS.test(timeoutMs) && { deadlineAt: clock.now() + Number(timeoutMs) }),
  };
}

function sane(header: string | string[] | undefined): string | undefined {
  const id = text(header);
  return id !== undefined && SANE_ID.test(id) ? id : undefined;
}

function text(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined;
}
