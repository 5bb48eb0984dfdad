import type { CallContext } from '../core/call-context.js';
import type { Clock } from '../core/clock.js';
import type { Ids } from '../core/ids.js';
import { traceOf, type TraceContext } from '../core/trace-context.js';

// What ends up in log lines and outgoing headers comes from strangers: printable, no spaces, bounded.
const SANE_ID = /^[\w.:/+=@~-]{1,128}$/;
const REMAINING_MS = /^\d{1,9}$/;
const NO_HEADERS: ContextHeaders = {};

/** Those headers of a request or a message that tell of its call context. */
export type ContextHeaders = Readonly<Partial<Record<ContextHeader, string>>>;

type ContextHeader = (typeof CONTEXT_HEADERS)[number];

const CONTEXT_HEADERS = ['x-correlation-id', 'x-request-id', 'x-mesh-timeout-ms', 'traceparent', 'tracestate'] as const;
const LENGTHS: ReadonlySet<number> = new Set(CONTEXT_HEADERS.map(({ length }) => length));

/**
 * The headers of the context among `rawHeaders`, names and values in turn: Node makes an object of them all when it is
 * first asked for it, which is left to the application. Of a header that comes twice the first counts.
 */
export function contextHeaders(rawHeaders: readonly string[]): ContextHeaders {
  let headers: Partial<Record<ContextHeader, string>> | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const raw = rawHeaders[i]!;
    if (!LENGTHS.has(raw.length)) continue;
    const name = raw.toLowerCase() as ContextHeader;
    if (CONTEXT_HEADERS.includes(name)) (headers ??= {})[name] ??= rawHeaders[i + 1]!;
  }
  return headers ?? NO_HEADERS;
}

/**
 * The call context of an inbound HTTP request. Headers that make no sense are taken as absent. `active` is the span that
 * the application's own tracing has opened for it already, which then stands between the caller and us.
 */
export function inboundContext(headers: ContextHeaders, clock: Clock, ids: Ids, active?: TraceContext): CallContext {
  const correlationId = sane(headers['x-correlation-id']) ?? sane(headers['x-request-id']) ?? ids.next();
  const trace = active ?? traceOf(headers);
  const timeoutMs = headers['x-mesh-timeout-ms'];
  // Most requests carry neither, and spreading nothing costs nearly as much as spreading something.
  const context: CallContext = trace ? { correlationId, ...trace } : { correlationId };
  if (timeoutMs === undefined || !REMAINING_MS.test(timeoutMs)) return context;
  return { ...context, deadlineAt: clock.now() + Number(timeoutMs) };
}

function sane(id: string | undefined): string | undefined {
  return id !== undefined && SANE_ID.test(id) ? id : undefined;
}
