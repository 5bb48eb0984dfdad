import type { MeshErrorWire } from '../../core/remote.error.js';

/** Of the status codes of gRPC those that are treated apart. @see https://grpc.io/docs/guides/status-codes */
export const GRPC = { cancelled: 1, deadlineExceeded: 4, unimplemented: 12, unavailable: 14 } as const;

interface Meaning {
  readonly name: string;
  readonly statusCode: number;
  readonly retryable: boolean;
}

const meaning = (name: string, statusCode: number, retryable = false): Meaning => ({ name, statusCode, retryable });

/** By code, from 1. @see https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto for the HTTP status */
const MEANINGS: readonly Meaning[] = [
  meaning('CANCELLED', 499),
  meaning('UNKNOWN', 500, true),
  meaning('INVALID_ARGUMENT', 400),
  meaning('DEADLINE_EXCEEDED', 504, true),
  meaning('NOT_FOUND', 404),
  meaning('ALREADY_EXISTS', 409),
  meaning('PERMISSION_DENIED', 403),
  meaning('RESOURCE_EXHAUSTED', 429, true),
  meaning('FAILED_PRECONDITION', 400),
  meaning('ABORTED', 409, true),
  meaning('OUT_OF_RANGE', 400),
  meaning('UNIMPLEMENTED', 501),
  meaning('INTERNAL', 500, true),
  meaning('UNAVAILABLE', 503, true),
  meaning('DATA_LOSS', 500),
  meaning('UNAUTHENTICATED', 401),
];
const UNKNOWN = MEANINGS[1]!;

/** How a service with the mesh tells its own codes, which gRPC has no place for. */
const OF_THE_MESH = /^(MESH_[A-Z_]+): (.*)$/s;

export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Whether a service with the mesh said it, and not the connection. */
export function isToldByMesh({ details }: GrpcStatus): boolean {
  return OF_THE_MESH.test(details);
}

/** The error that a method of gRPC failed with: by the mesh's code where that was told, else `GRPC_<status>`. */
export function wireOfStatus({ code, details, metadata }: GrpcStatus): MeshErrorWire {
  const { name, statusCode, retryable } = MEANINGS[code - 1] ?? UNKNOWN;
  const [, meshCode, message] = OF_THE_MESH.exec(details) ?? [];
  return {
    status: 'error',
    code: meshCode ?? `GRPC_${name}`,
    message: message ?? (details || `The method failed with ${name}.`),
    statusCode,
    retryable,
    details: { grpcCode: code, grpcStatus: name, metadata },
  };
}
