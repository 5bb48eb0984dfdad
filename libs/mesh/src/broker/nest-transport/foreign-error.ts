import { isWire, type MeshErrorWire } from '../../core/remote.error.js';

/**
 * The error that a service of Nest answered with. Those with the mesh send all of it; of the others an `RpcException` comes
 * as the object or the text that it was given, everything else as "Internal server error".
 */
export function wireOfForeign(answer: unknown): MeshErrorWire {
  if (isWire(answer)) return answer;
  if (typeof answer !== 'object' || answer === null) return wire({ message: String(answer) });
  return { ...wire(answer), details: { ...answer } };
}

interface ForeignError {
  readonly message?: unknown;
  readonly code?: unknown;
  readonly statusCode?: unknown;
  readonly retryable?: unknown;
}

function wire({ message, code, statusCode, retryable }: ForeignError): MeshErrorWire {
  const isStatus = Number.isInteger(statusCode) && Number(statusCode) >= 400 && Number(statusCode) <= 599;
  const status = isStatus ? Number(statusCode) : 500;
  const codeOfStatus = isStatus ? `HTTP_${status}` : 'MESH_REMOTE';
  return {
    status: 'error',
    code: typeof code === 'string' ? code : codeOfStatus,
    message: Array.isArray(message)
      ? message.join('; ')
      : String(message ?? 'Another service failed without a message.'),
    statusCode: status,
    retryable: typeof retryable === 'boolean' ? retryable : status >= 500 || status === 408 || status === 429,
  };
}
