import { HttpException } from '@nestjs/common';

const REFUSALS: ReadonlySet<number> = new Set([400, 402, 403, 404, 409, 422]);

/**
 * Whether the other side said no, and so did nothing. A timeout, a lost connection or a failure leaves open whether it did
 * its work: that is no reason to undo anything.
 */
export function isRefusal(error: unknown): boolean {
  return error instanceof HttpException && REFUSALS.has(error.getStatus());
}
