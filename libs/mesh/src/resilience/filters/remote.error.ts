import { catchError, throwError, type MonoTypeOperatorFunction } from 'rxjs';
import { isMeshError, MeshError } from '../../core/mesh.error.js';
import { attemptsOf } from '../error-classification.js';

/** A mesh error as it crosses a transport: a plain object, so that every serialiser keeps all of it. */
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
}

/**
 * A mesh error of another service, with the `code`, status and message it had there. Its class is not that of the origin
 * on purpose: a breaker that is open *there* is a failed call *here*, not a call that was never sent.
 */
export class RemoteError extends MeshError {
  readonly origin: string | undefined;
  /** Tells {@link isCalleeFailure} that the code speaks of another service. */
  readonly remote = true;

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
  return isWire(error) && !isMeshError(error) ? new RemoteError(error) : error;
}

/** For a Nest `ClientProxy`: `client.send(pattern, data).pipe(reviveErrors())`. */
export function reviveErrors<T>(): MonoTypeOperatorFunction<T> {
  return catchError((error: unknown) => throwError(() => reviveError(error)));
}

function isWire(value: unknown): value is MeshErrorWire {
  if (typeof value !== 'object' || value === null) return false;
  const { status, code, message, retryable, statusCode } = value as Record<string, unknown>;
  return (
    status === 'error' &&
    typeof code === 'string' &&
    code.startsWith('MESH_') &&
    typeof message === 'string' &&
    typeof retryable === 'boolean' &&
    Number.isInteger(statusCode)
  );
}

/** gRPC knows numeric codes only; the mesh's own code opens the message. @see https://grpc.io/docs/guides/status-codes */
export function toGrpc(wire: MeshErrorWire): { readonly code: number; readonly message: string } {
  return { code: GRPC_CODES[wire.statusCode] ?? GRPC_INTERNAL, message: `${wire.code}: ${wire.message}` };
}

const GRPC_INTERNAL = 13;
const GRPC_CODES: Readonly<Record<number, number>> = { 400: 3, 429: 8, 499: 1, 503: 14, 504: 4 };
