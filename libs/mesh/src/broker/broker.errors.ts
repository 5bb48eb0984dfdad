import { MeshError } from '../core/mesh.error.js';
import { reasonOf } from '../core/message-of.js';

/** What is known of a message whose sending failed: it never left, or it may have been handled. */
export type Outcome = 'unsent' | 'unknown';

/** Nobody serves the pattern, or the broker passes it on to nobody. Known at once, so nothing was sent. */
export class NoResponderError extends MeshError {
  /** Tells retries that the handler can't have run. */
  readonly sent = false;

  constructor(pattern: string, refusal?: string) {
    const advice = refusal ?? "import the module that has its handler, or check the pattern's spelling";
    super(`Nobody answers "${pattern}"; ${advice}.`, {
      code: 'MESH_NO_RESPONDER',
      status: 503,
      retryable: true,
      details: { pattern },
    });
  }
}

/** There was no answer in time. Whether the handler did its work is unknown. */
export class RequestTimeoutError extends MeshError {
  constructor(pattern: string, timeoutMs: number, advice = 'whether its work was done is unknown') {
    super(`"${pattern}" did not answer within ${timeoutMs} ms; ${advice}.`, {
      code: 'MESH_REQUEST_TIMEOUT',
      status: 504,
      details: { pattern, timeoutMs, outcome: 'unknown' },
    });
  }
}

/** A limit of the broker was reached. Nothing was sent; later there may be room. */
export class OverloadedError extends MeshError {
  readonly sent = false;

  constructor(what: string, limit: number, unit: string) {
    super(`${what} was refused: ${limit} ${unit} already; slow down, or raise the limit.`, {
      code: 'MESH_OVERLOADED',
      status: 503,
      retryable: true,
      retryAfterMs: 1_000,
      details: { limit, unit },
    });
  }
}

/** A pattern or a payload cannot be a message. */
export class PayloadError extends MeshError {
  constructor(message: string, details?: Readonly<Record<string, unknown>>) {
    super(message, { code: 'MESH_PAYLOAD_INVALID', status: 400, ...(details && { details }) });
  }
}

/** The connection to the broker is away, or went away while an answer was awaited. */
export class ConnectionLostError extends MeshError {
  readonly sent: boolean;

  constructor(pattern: string, outcome: Outcome, reason: string) {
    const what = outcome === 'unsent' ? 'was not sent' : 'may or may not have been handled';
    super(`The request "${pattern}" ${what}: the connection to the broker is away (${reason}).`, {
      code: 'MESH_CONNECTION_LOST',
      status: 503,
      retryable: true,
      details: { pattern, outcome },
    });
    this.sent = outcome !== 'unsent';
  }
}

/** The transport did not take responsibility for the message in time. */
export class PublishUnconfirmedError extends MeshError {
  readonly sent: boolean;

  constructor(
    { topic, id }: { readonly topic: string; readonly id: string | undefined },
    outcome: Outcome,
    { reason, cause }: { readonly reason: string; readonly cause?: unknown },
  ) {
    const what = outcome === 'unsent' ? 'was not taken by the broker' : 'may or may not have arrived';
    super(`The message for "${topic}" ${what}: ${reason}. Publish it again with the id ${JSON.stringify(id)}.`, {
      code: 'MESH_PUBLISH_UNCONFIRMED',
      status: 503,
      retryable: true,
      details: { topic, id, outcome },
      ...(cause !== undefined && { cause }),
    });
    this.sent = outcome !== 'unsent';
  }
}

/** The server is there, and does not hand over what was asked of it: it does not permit that, or does not answer in time. */
export class SubscriptionFailedError extends MeshError {
  /** `what` as in `messages of "orders"`. */
  constructor(what: string, cause: unknown) {
    super(`The server does not hand over ${what}: ${reasonOf(cause)}.`, {
      code: 'MESH_SUBSCRIPTION_FAILED',
      status: 503,
      retryable: true,
      cause,
    });
  }
}

/** The server that keeps the dead letters is away, or broke off in the middle: some of them may have been sent or discarded. */
export class DeadLettersUnreachableError extends MeshError {
  constructor(topic: string, reason: string, cause?: unknown) {
    super(`The dead letters of "${topic}" cannot be reached: ${reason}. None is lost; try again.`, {
      code: 'MESH_DEAD_LETTERS_UNREACHABLE',
      status: 503,
      retryable: true,
      details: { topic },
      ...(cause !== undefined && { cause }),
    });
  }
}

/** The transport cannot do what was asked of it, now or ever. */
export class CapabilityMissingError extends MeshError {
  constructor(transport: string, what: string, instead: string) {
    super(`The transport "${transport}" cannot ${what}; ${instead}.`, {
      code: 'MESH_CAPABILITY_MISSING',
      details: { transport },
    });
  }
}

/** Another delivery of the same message is being handled; this one comes again, at the latest when that one's claim must be over. */
export class MessageBusyError extends MeshError {
  declare readonly retryAfterMs: number;

  constructor(topic: string, id: string, leaseMs: number) {
    super(`The message ${id} of "${topic}" is being handled already; it is looked at again within ${leaseMs} ms.`, {
      code: 'MESH_MESSAGE_BUSY',
      status: 409,
      retryable: true,
      retryAfterMs: leaseMs,
      details: { topic, id },
    });
  }
}
