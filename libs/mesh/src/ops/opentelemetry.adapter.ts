import type { Context, Span, SpanContext, SpanKind, SpanStatusCode, Tracer as OtelTracer } from '@opentelemetry/api';
import { finalize, isObservable, tap } from 'rxjs';
import { type OpenSpan, type SpanDescription, type TraceContext, Tracer } from '../core/trace-context.js';

type OtelApi = typeof import('@opentelemetry/api');

/** Where every copy of the API, of its first major version, keeps what an SDK has registered. */
const REGISTRY = Symbol.for('opentelemetry.js.api.1');

export interface FoundTracer {
  readonly tracer?: Tracer;
  /** Why there is none although the application traces. */
  readonly problem?: string;
}

/**
 * A tracer over OpenTelemetry's API; none, and nothing imported, unless the application has registered a tracer provider
 * by now. An SDK that is set up before NestFactory is called, as with `node --import`, has.
 */
export async function findTracer(
  load: () => Promise<OtelApi> = () => import('@opentelemetry/api'),
): Promise<FoundTracer> {
  const registry = (globalThis as { readonly [REGISTRY]?: { readonly trace?: unknown } })[REGISTRY];
  if (registry?.trace === undefined) return {};
  try {
    return { tracer: new OpenTelemetryTracer(await load()) };
  } catch (error) {
    return {
      problem:
        'The application traces with OpenTelemetry, but "@opentelemetry/api" can\'t be loaded from nestjs-mesh, so that ' +
        `the mesh adds no spans: install it as a dependency of the application (${String(error)}).`,
    };
  }
}

// The API's enums are values, and so would need the import; their numbers are part of the specification.
const KIND: Readonly<Record<SpanDescription['kind'], SpanKind>> = {
  internal: 0,
  server: 1,
  client: 2,
  producer: 3,
  consumer: 4,
};
const ERROR: SpanStatusCode.ERROR = 2;

class OpenTelemetryTracer extends Tracer {
  readonly #api: OtelApi;
  readonly #tracer: OtelTracer;

  constructor(api: OtelApi) {
    super();
    this.#api = api;
    this.#tracer = api.trace.getTracer('nestjs-mesh');
  }

  override active(): TraceContext | undefined {
    const span = this.#api.trace.getSpanContext(this.#api.context.active());
    return span && this.#api.isSpanContextValid(span) ? toTrace(span) : undefined;
  }

  override span<T>({ name, kind, attributes, parent }: SpanDescription, work: (span: OpenSpan) => T): T {
    const { trace, context } = this.#api;
    const above = parent ? this.#under(parent) : context.active();
    const span = this.#tracer.startSpan(name, { kind: KIND[kind], attributes }, above);
    const open: OpenSpan = {
      trace: toTrace(span.spanContext()),
      set: (attribute, value) => void span.setAttribute(attribute, value),
    };
    try {
      return followed(
        context.with(trace.setSpan(above, span), () => work(open)),
        span,
      );
    } catch (error) {
      fail(span, error);
      span.end();
      throw error;
    }
  }

  #under({ traceparent, tracestate }: TraceContext): Context {
    const { trace, context, createTraceState } = this.#api;
    // version-traceId-spanId-flags, all of fixed length.
    return trace.setSpanContext(context.active(), {
      traceId: traceparent.slice(3, 35),
      spanId: traceparent.slice(36, 52),
      traceFlags: Number.parseInt(traceparent.slice(53, 55), 16),
      isRemote: true,
      ...(tracestate !== undefined && { traceState: createTraceState(tracestate) }),
    });
  }
}

/** The result, with the span ending when it does. */
function followed<T>(result: T, span: Span): T {
  if (isObservable(result))
    return result.pipe(
      tap({ error: (error) => fail(span, error) }),
      finalize(() => span.end()),
    ) as T;
  if (!isThenable(result)) {
    span.end();
    return result;
  }
  return result.then(
    (value) => {
      // A handler may resolve with a stream, which then goes on.
      if (isObservable(value)) return followed(value, span);
      span.end();
      return value;
    },
    (error: unknown) => {
      fail(span, error);
      span.end();
      throw error;
    },
  ) as T;
}

function fail(span: Span, error: unknown): void {
  // Anything can be thrown, and a span must never be the one to complain.
  const thrown = error instanceof Error ? error : new Error(String(error));
  const { code } = thrown as { readonly code?: unknown };
  span.setAttribute('error.type', typeof code === 'string' ? code : thrown.name);
  span.recordException(thrown);
  span.setStatus({ code: ERROR, message: thrown.message });
}

function toTrace({ traceId, spanId, traceFlags, traceState }: SpanContext): TraceContext {
  const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
  const tracestate = traceState?.serialize();
  return { traceparent, ...(tracestate !== undefined && tracestate !== '' && { tracestate }) };
}

function isThenable(value: unknown): value is Promise<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}
