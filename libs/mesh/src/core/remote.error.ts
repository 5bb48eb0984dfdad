import { attemptsOf } from './attempts.js';
import { isMeshError, MeshError } from './mesh.error.js';

/** An error as it crosses a transport: a plain object, so that every serialiser keeps all of it. */
export interface MeshErrorWire {
  readonly status: 'error';
  readonly code: string;
  readonly message: string;
  readonly statusCode: number;
  readonly retryable: boolean;
  readonly retryAfterMs?: number;
  readonly details?: Readonly<Record<string, unknown>>;
  /** The service in which the error arose; kept when services in between pass it on. */
  readonly origin?: string;
  /** The request was refused before its handler ran: repeating it can't do its work twice. */
  readonly unsent?: true;
}

/**
 * A mesh error of another service, with the `code`, status and message it had there. Its class is not that of the origin
 * on purpose: a breaker that is open *there* is a failed call *here*, not a call that was never sent.
 */
export class RemoteError extends MeshError {
  readonly origin: string | undefined;
  /** Tells `isCalleeFailure` that the code speaks of another service. */
  readonly remote = true;
  /** `false` when the request was refused there before its handler ran. */
  readonly sent: boolean;

  constructor(wire: MeshErrorWire) {
    const { code, statusCode, retryable, retryAfterMs, details, origin } = wire;
    super(wire.message, {
      code,
      status: statusCode,
      retryable,
      ...(retryAfterMs === undefined ? undefined : { retryAfterMs }),
      ...(details === undefined ? undefined : { details }),
    });
    this.origin = origin;
    this.sent = wire.unsent !== true;
  }
}

/** Whether a tier above may retry: not what was retried here or came from another service, or retries would multiply. */
export function isRetryableAbove(error: unknown): boolean {
  return attemptsOf(error) === 1 && !(error instanceof RemoteError) && !(isMeshError(error) && !error.retryable);
}

/** The form in which the error leaves this service. */
export function toWire(error: MeshError, service: string | undefined): MeshErrorWire {
  const origin = error instanceof RemoteError ? error.origin : service;
  return {
    status: 'error',
    code: error.code,
    message: error.message,
    statusCode: error.getStatus(),
    retryable: isRetryableAbove(error),
    ...(error.retryAfterMs === undefined ? undefined : { retryAfterMs: error.retryAfterMs }),
    ...(error.details === undefined ? undefined : { details: error.details }),
    ...(origin === undefined ? undefined : { origin }),
  };
}

/** What a transport's client rejected with: the mesh error that it stands for, or itself when it is something else. */
export function reviveError(error: unknown): unknown {
  return isWire(error) && error.code.startsWith('MESH_') && !isMeshError(error) ? new RemoteError(error) : error;
}

export function isWire(value: unknown): value is MeshErrorWire {
  if (typeof value !== 'object' || value === null) return false;
  const { status, code, message, retryable, statusCode } = value as Record<string, unknown>;
  return (
    status === 'error' &&
    typeof code === 'string' &&
    typeof message === 'string' &&
    typeof retryable === 'boolean' &&
    Number.isInteger(statusCode)
  );
}
