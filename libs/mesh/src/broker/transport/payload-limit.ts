import { PayloadError } from '../broker.errors.js';
import type { WireBody } from './transport-driver.port.js';

/** @throws {PayloadError} for a body of more bytes than `limit`. `takes` says whose limit it is, `raise` how to raise it. */
export function assertSize(
  { data }: WireBody,
  limit: number,
  { takes, raise }: { readonly takes: string; readonly raise: string },
): void {
  if (data.length > limit)
    throw new PayloadError(
      `A payload has ${data.length} bytes; ${takes} ${limit}. Send a reference to it, or raise ${raise}.`,
    );
}
