import { MeshError } from '../core/mesh.error.js';

/** Nobody serves the pattern. Known at once, so nothing was sent. */
export class NoResponderError extends MeshError {
  constructor(pattern: string) {
    super(`Nobody answers "${pattern}"; import the module that has its handler, or check the pattern's spelling.`, {
      code: 'MESH_NO_RESPONDER',
      status: 503,
      retryable: true,
      details: { pattern },
    });
  }
}

/** There was no answer in time. Whether the handler did its work is unknown. */
export class RequestTimeoutError extends MeshError {
  constructor(pattern: string, timeoutMs: number) {
    super(`"${pattern}" did not answer within ${timeoutMs} ms; whether its work was done is unknown.`, {
      code: 'MESH_REQUEST_TIMEOUT',
      status: 504,
      details: { pattern, timeoutMs, outcome: 'unknown' },
    });
  }
}

/** A limit of the broker was reached. Nothing was sent; later there may be room. */
export class OverloadedError extends MeshError {
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
