import { hash } from 'node:crypto';
import type { CallContext, CallContexts } from '../core/call-context.js';

/** The fields that tie a line to the work it belongs to. */
export interface CallLogFields {
  correlationId?: string;
  /** Of the caller's trace; where nobody traces, made from the correlation id, so that it is the same in every service. */
  traceId?: string;
  /** The caller's span, the parent of what happens here; absent where nobody traces. */
  spanId?: string;
}

const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/;

/**
 * The fields of the running code's call context: a fresh object, for a pino `mixin`. Empty outside a call.
 * @example LoggerModule.forRootAsync({ inject: [CallContexts], useFactory: (c) => ({ pinoHttp: { mixin: () => callLogFields(c) } }) })
 */
export function callLogFields(contexts: CallContexts): CallLogFields {
  const context = contexts.current();
  return context ? logFieldsOf(context) : {};
}

/** The fields of a context that need not be the running code's. */
export function logFieldsOf({ correlationId, traceparent }: CallContext): CallLogFields {
  if (!traceparent) return { correlationId, traceId: traceIdFrom(correlationId) };
  // version-traceId-spanId-flags, all of fixed length; checked where the context was opened.
  return { correlationId, traceId: traceparent.slice(3, 35), spanId: traceparent.slice(36, 52) };
}

/** Our own correlation ids have as many digits as a trace id; others are digested. */
function traceIdFrom(correlationId: string): string {
  return UUID.test(correlationId) ? correlationId.replaceAll('-', '') : hash('sha256', correlationId).slice(0, 32);
}
