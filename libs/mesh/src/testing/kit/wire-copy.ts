import { decodePayload, encodePayload } from '../../index.js';

/**
 * The value as it would arrive from another process.
 * @throws {PayloadError} for what a transport could not send either.
 */
export function wireCopy(value: unknown): unknown {
  return decodePayload(encodePayload(value));
}
