import { HttpException } from '@nestjs/common';
import { isMeshError, MeshError } from '../../core/mesh.error.js';
import { isWire, type MeshErrorWire, RemoteError, toWire } from '../../core/remote.error.js';
import { decodePayload, encodePayload } from './payload.codec.js';
import type { WireBody, WireReply } from './transport-driver.port.js';

export interface Exposure {
  readonly service: string;
  /** Tells two failures apart in logs; callers get it instead of the message. */
  readonly reference: string;
  readonly exposeErrors: 'code' | 'message';
}

/** Whatever a handler threw, as it leaves this service. */
export function wireOf(error: unknown, exposure: Exposure): MeshErrorWire {
  if (isMeshError(error)) return toWire(error, exposure.service);
  if (isWire(error)) return error;
  const base = { status: 'error', origin: exposure.service } as const;
  if (error instanceof HttpException) {
    const statusCode = error.getStatus();
    const response = error.getResponse();
    const retryable = statusCode >= 500 || statusCode === 408 || statusCode === 429;
    const details = typeof response === 'object' ? { response } : undefined;
    return {
      ...base,
      code: `HTTP_${statusCode}`,
      message: error.message,
      statusCode,
      retryable,
      ...(details && { details }),
    };
  }
  const told = rpcError(error);
  if (told) return { ...base, code: 'MESH_REMOTE', statusCode: 500, retryable: true, ...told };
  const { service, reference, exposeErrors } = exposure;
  const message =
    exposeErrors === 'message' && error instanceof Error
      ? error.message
      : `The service "${service}" failed with an error of its own; its log has it under ${reference}.`;
  return { ...base, code: 'MESH_REMOTE', message, statusCode: 500, retryable: true };
}

/** Refused before the handler ran. */
export function refusalOf(error: MeshError, service: string): MeshErrorWire {
  return { ...toWire(error, service), unsent: true };
}

export function errorReply(wire: MeshErrorWire): WireReply {
  return { ok: false, body: encodePayload(wire) };
}

/** The error that an answer stands for. */
export function revive(body: WireBody): RemoteError {
  const wire = decodePayload(body);
  if (isWire(wire)) return new RemoteError(wire);
  return new RemoteError({
    status: 'error',
    code: 'MESH_REMOTE',
    message: 'Another service answered with an error of unknown form.',
    statusCode: 502,
    retryable: true,
    details: { answer: wire },
  });
}

/** What Nest's `RpcException` was given: meant for the caller, by the handler's own choice. Known by its method alone. */
function rpcError(error: unknown): (Partial<MeshErrorWire> & Pick<MeshErrorWire, 'message'>) | undefined {
  const getError = (error as { getError?: unknown } | null | undefined)?.getError;
  if (typeof getError !== 'function') return undefined;
  const given: unknown = Reflect.apply(getError, error, []);
  if (typeof given === 'string') return { message: given };
  if (isWire(given)) return given;
  const { code, message } = given as { readonly code?: unknown; readonly message?: unknown };
  return {
    message: typeof message === 'string' ? message : (error as Error).message,
    ...(typeof code === 'string' && { code }),
    details: { ...(given as object) },
  };
}
