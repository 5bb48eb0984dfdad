import type { CallContext } from '../../core/call-context.js';
import { CONTEXT_HEADER } from '../../core/context-headers.js';
import { traceOf } from '../../core/trace-context.js';
import { PayloadError } from '../broker.errors.js';
import { KEY_HEADER } from '../delivered.message.js';

/** The headers of the mesh on the wire. Everything else belongs to the callers. */
export const HEADER = {
  ...CONTEXT_HEADER,
  /** `service/instance` that sent it. */
  source: 'mesh-source',
  /** The message id, where the server's own name for it is taken. */
  id: 'mesh-id',
  sentAt: 'mesh-sent-at',
  key: KEY_HEADER,
  /** Asks whether anybody serves the pattern; answered without running the handler. */
  probe: 'mesh-probe',
  traceparent: 'traceparent',
  tracestate: 'tracestate',
} as const;

/** Marks an answer whose body is the wire form of an error. */
export const ERROR = 'mesh-error';

export type Headers = Readonly<Record<string, string>>;

/** The mesh's own, NATS's, the payload's type, and RabbitMQ's count of deliveries. */
const OF_ONE_MESSAGE = /^(?:mesh-|nats-|content-type$|x-delivery-count$)/i;
const NAME = /^[\x21-\x39\x3b-\x7e]+$/;
// What ends a header line on the wire, or is none of its characters.
// oxlint-disable-next-line no-control-regex
const FORBIDDEN = /[\r\n\0]/;

/** @throws {PayloadError} for a name or value that no wire carries. */
export function assertHeaders(headers: Headers, what: string): void {
  for (const name in headers) {
    const value: unknown = headers[name];
    if (!NAME.test(name))
      throw new PayloadError(
        `${what} has a header named ${JSON.stringify(name)}; use ASCII letters, digits and dashes.`,
      );
    if (typeof value !== 'string')
      throw new PayloadError(`The header "${name}" of ${what} is ${typeof value}; it must be a string.`);
    if (FORBIDDEN.test(value)) throw new PayloadError(`The header "${name}" of ${what} has a line break in it.`);
  }
}

/**
 * What a caller sends along. The headers of a received message may be passed on whole: those that the mesh or the wire
 * wrote there are of that message, and left out.
 */
export function passedOn(headers: Headers): Headers {
  for (const name in headers)
    if (isOfOneMessage(name))
      return Object.fromEntries(Object.entries(headers).filter(([other]) => !isOfOneMessage(other)));
  return headers;
}

function isOfOneMessage(name: string): boolean {
  if (name === HEADER.correlationId || name === HEADER.key) return false;
  return OF_ONE_MESSAGE.test(name);
}

/** @throws {PayloadError} for an id that no wire carries: it travels as a header. */
export function assertId(id: string, topic: string): void {
  if (typeof id !== 'string' || id === '' || FORBIDDEN.test(id))
    throw new PayloadError(
      `The id of the message for "${topic}" is ${JSON.stringify(id)}; it must be a string of one line that is not empty.`,
    );
}

/**
 * What the context carries along, and `headers`. Without a context nothing is carried: the message's own id is the
 * correlation id then, and need not be sent twice.
 */
export function contextHeaders(
  headers: Headers | undefined,
  context: Omit<CallContext, 'deadlineAt'> | undefined,
): Record<string, string> {
  const sent: Record<string, string> = {};
  if (context) {
    const { correlationId, traceparent, tracestate } = context;
    sent[HEADER.correlationId] = correlationId;
    if (traceparent !== undefined) sent[HEADER.traceparent] = traceparent;
    if (tracestate !== undefined) sent[HEADER.tracestate] = tracestate;
  }
  // What the caller says itself wins: a span of its own is nearer than that of the context.
  if (headers) Object.assign(sent, headers);
  return sent;
}

/** The context that the headers tell of. */
export function contextOf(headers: Headers, otherwise: string): CallContext {
  return { correlationId: headers[HEADER.correlationId] ?? otherwise, ...traceOf(headers) };
}

/** How long the sender waits; `otherwise` when it does not say, or nothing that makes sense. */
export function timeoutOf(headers: Headers, otherwise: number): number {
  const timeoutMs = Number(headers[HEADER.timeoutMs] ?? Number.NaN);
  return Number.isFinite(timeoutMs) ? timeoutMs : otherwise;
}
