import type { CallContexts } from '../core/call-context.js';
import {
  contextInTrace,
  type OpenSpan,
  traceOfContext,
  type SpanDescription,
  type Tracer,
} from '../core/trace-context.js';

type Headers = Readonly<Record<string, string>>;

/** What the application's tracing SDK gives the mesh; empty without one. */
export class Tracing {
  readonly tracer: Tracer | undefined;
  readonly work: TracedWork | undefined;
  /** Why there is no tracer although the application traces. */
  readonly problem: string | undefined;

  constructor({ tracer, problem }: { readonly tracer?: Tracer; readonly problem?: string }, contexts: CallContexts) {
    this.tracer = tracer;
    this.work = tracer && new TracedWork(tracer, contexts);
    this.problem = problem;
  }
}

/** Spans that the call context knows of: what runs in one logs and sends its ids. */
export class TracedWork {
  constructor(
    private readonly tracer: Tracer,
    private readonly contexts: CallContexts,
  ) {}

  /** Work that goes out: under the span that the running code is in, else where its call context stands. */
  outgoing<T>(description: SpanDescription, work: (span: OpenSpan) => T): T {
    const parent = this.tracer.active() ? undefined : traceOfContext(this.contexts.current());
    return this.#run({ ...description, parent }, work);
  }

  /** Work that came in: where its call context stands, or what its sender said, else under what runs. */
  incoming<T>(description: SpanDescription, work: (span: OpenSpan) => T): T {
    const parent = traceOfContext(this.contexts.current()) ?? description.parent;
    return this.#run({ ...description, parent }, work);
  }

  /** The headers that tell of the span, where there is no call context that would carry it. The sender's own win. */
  headers(span: OpenSpan, given: Headers | undefined): Headers | undefined {
    return this.contexts.current() || given?.['traceparent'] !== undefined ? given : { ...given, ...span.trace };
  }

  #run<T>(description: SpanDescription, work: (span: OpenSpan) => T): T {
    return this.tracer.span(description, (span) => {
      const context = this.contexts.current();
      // A context is not opened for the trace's sake: work outside any is refused while the service drains.
      return context ? this.contexts.run(contextInTrace(context, span.trace), () => work(span)) : work(span);
    });
  }
}
