import type { CallContext } from './call-context.js';

/** Where a piece of work stands in a trace that spans services. @see https://www.w3.org/TR/trace-context/ */
export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate?: string;
}

type TraceHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

/** @see https://www.w3.org/TR/trace-context/#traceparent-header */
const TRACEPARENT = /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/;
const TRACESTATE_MAX = 512;

/** The trace that the headers of a request or message tell of. What makes no sense is taken as absent. */
export function traceOf(headers: TraceHeaders): TraceContext | undefined {
  const { traceparent, tracestate } = headers;
  if (typeof traceparent !== 'string' || !TRACEPARENT.test(traceparent)) return undefined;
  return typeof tracestate === 'string' && tracestate.length <= TRACESTATE_MAX
    ? { traceparent, tracestate }
    : { traceparent };
}

/** The trace that a call context belongs to. */
export function traceOfContext(context: CallContext | undefined): TraceContext | undefined {
  if (context?.traceparent === undefined) return undefined;
  const { traceparent, tracestate } = context;
  return { traceparent, ...(tracestate !== undefined && { tracestate }) };
}

/** The same context at another place of a trace. */
export function contextInTrace(context: CallContext, trace: TraceContext): CallContext {
  const { tracestate: _former, ...rest } = context;
  return { ...rest, ...trace };
}

export interface SpanDescription {
  /** Low in cardinality: a pattern, a topic, a policy; never an id. */
  readonly name: string;
  readonly kind: 'client' | 'server' | 'producer' | 'consumer' | 'internal';
  /** In the names of OpenTelemetry's semantic conventions where there are any. */
  readonly attributes: Readonly<Record<string, string | number>>;
  /** The span that it belongs under. @default the one that the running code is in */
  readonly parent?: TraceContext | undefined;
}

/** A span that has begun. */
export interface OpenSpan {
  /** What goes out to whoever is called from within. */
  readonly trace: TraceContext;
  set(name: string, value: string | number): void;
}

/** Makes spans, where the application has a tracing SDK; without one there is no tracer at all. */
export abstract class Tracer {
  /** The span that the running code is in. */
  abstract active(): TraceContext | undefined;
  /** Runs `work` in a new span, which ends when the promise or Observable that it returns does, or else with it. */
  abstract span<T>(description: SpanDescription, work: (span: OpenSpan) => T): T;
}
