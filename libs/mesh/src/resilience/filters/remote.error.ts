import { catchError, throwError, type MonoTypeOperatorFunction } from 'rxjs';
import { type MeshErrorWire, reviveError } from '../../core/remote.error.js';

export { isRetryableAbove, type MeshErrorWire, RemoteError, reviveError, toWire } from '../../core/remote.error.js';

/** For a Nest `ClientProxy`: `client.send(pattern, data).pipe(reviveErrors())`. */
export function reviveErrors<T>(): MonoTypeOperatorFunction<T> {
  return catchError((error: unknown) => throwError(() => reviveError(error)));
}

/** gRPC knows numeric codes only; the mesh's own code opens the message. @see https://grpc.io/docs/guides/status-codes */
export function toGrpc(wire: MeshErrorWire): { readonly code: number; readonly message: string } {
  return { code: GRPC_CODES[wire.statusCode] ?? GRPC_INTERNAL, message: `${wire.code}: ${wire.message}` };
}

const GRPC_INTERNAL = 13;
const GRPC_CODES: Readonly<Record<number, number>> = { 400: 3, 429: 8, 499: 1, 503: 14, 504: 4 };
