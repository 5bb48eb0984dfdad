import type { PermissionViolationError } from '@nats-io/transport-node';
import { PublishUnconfirmedError } from '../broker.errors.js';

/** Whether the server said that this user may not do it. */
export function isForbidden(
  error: unknown,
  operation: PermissionViolationError['operation'],
): error is PermissionViolationError {
  return (
    error instanceof Error &&
    error.name === 'PermissionViolationError' &&
    'operation' in error &&
    error.operation === operation
  );
}

/** What was not permitted was certainly not sent, and would not be the next time; every other error stays what it is. */
export function asRefusal(
  error: unknown,
  message: { readonly topic: string; readonly id: string | undefined },
): unknown {
  // The client's own requests wrap it.
  const refusal = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (!isForbidden(refusal, 'publish')) return error;
  return new PublishUnconfirmedError(message, 'unsent', {
    reason: `NATS refused it (${refusal.message})`,
    cause: refusal,
  });
}
