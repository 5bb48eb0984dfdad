import { PayloadError } from '../broker.errors.js';
import type { WireBody } from './transport-driver.port.js';

/** The content type of bytes. */
export const BYTES = 'application/octet-stream';
const NOTHING: WireBody = Object.freeze({ data: new Uint8Array(0) });
const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * JSON as it stands, without a mark, so that programs without the mesh can read and write it; bytes as they are, under
 * their content type; and no bytes at all for `undefined`, which JSON cannot say.
 */
export function encodePayload(payload: unknown): WireBody {
  if (payload === undefined) return NOTHING;
  if (payload instanceof Uint8Array) return { data: payload, contentType: BYTES };
  return { data: Buffer.from(toJson(payload)) };
}

/** @throws {PayloadError} when it is no JSON. */
export function decodePayload({ data, contentType }: WireBody): unknown {
  // A copy: the bytes are a view of the connection's own buffer.
  if (contentType === BYTES) return Buffer.from(data);
  if (data.length === 0) return undefined;
  try {
    return JSON.parse(decoder.decode(data));
  } catch (error) {
    throw new PayloadError(`A payload of ${data.length} bytes is not JSON: ${(error as Error).message}`);
  }
}

function toJson(payload: unknown): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(payload);
  } catch (error) {
    throw new PayloadError(`A payload cannot be written as JSON: ${(error as Error).message}`);
  }
  if (json === undefined) throw new PayloadError(`A payload cannot be a ${typeof payload}; JSON has no word for it.`);
  return json;
}
