import { HttpException } from '@nestjs/common';

const RETRYABLE_CLIENT_ERRORS: ReadonlySet<number> = new Set([408, 409, 423, 425, 429]);

/** Whether delivering again cannot help: the message itself was refused (validation, authorisation), not the moment. */
export function isPermanent(error: unknown): boolean {
  if (!(error instanceof HttpException)) return false;
  const status = error.getStatus();
  return status >= 400 && status < 500 && !RETRYABLE_CLIENT_ERRORS.has(status);
}

/** Milliseconds before the delivery that follows failed attempt number `attempt`, jittered by 20 % either way. */
export function redeliveryDelayMs(backoffMs: readonly number[], attempt: number, random: number): number {
  const base = backoffMs[Math.min(attempt, backoffMs.length) - 1] ?? 0;
  return Math.round(base * (0.8 + 0.4 * random));
}
