import { PayloadError } from '../../index.js';

/**
 * The value as it would arrive from another process: through JSON, and bytes as bytes.
 * @throws {PayloadError} for what a transport could not send either.
 */
export function wireCopy(value: unknown): unknown {
  if (value === undefined) return undefined;
  if (value instanceof Uint8Array) return Buffer.from(value);
  return JSON.parse(toJson(value));
}

function toJson(value: unknown): string {
  let json: string | undefined;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    throw new PayloadError(`A payload cannot be written as JSON: ${(error as Error).message}`);
  }
  if (json === undefined) throw new PayloadError(`A payload cannot be a ${typeof value}; JSON has no word for it.`);
  return json;
}
