import type { CallContexts } from '../core/call-context.js';

/** The fields that tie a line to the work it belongs to. */
export interface CallLogFields {
  correlationId?: string;
  traceId?: string;
  /** The caller's span, the parent of what happens here. */
  spanId?: string;
}

/**
 * The fields of the running code's call context: a fresh object, for a pino `mixin`. Empty outside a call.
 * @example LoggerModule.forRootAsync({ inject: [CallContexts], useFactory: (c) => ({ pinoHttp: { mixin: () => callLogFields(c) } }) })
 */
export function callLogFields(contexts: CallContexts): CallLogFields {
  const context = contexts.current();
  if (!context) return {};
  const fields: CallLogFields = { correlationId: context.correlationId };
  const { traceparent } = context;
  if (traceparent) {
    // version-traceId-spanId-flags, all of fixed length; checked where the context was opened.
    fields.traceId = traceparent.slice(3, 35);
    fields.spanId = traceparent.slice(36, 52);
  }
  return fields;
}
