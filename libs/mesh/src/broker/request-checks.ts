import type { RequestOptions } from '../core/broker.port.js';
import type { ExecuteOptions } from '../core/policy.port.js';
import { OverloadedError, PayloadError } from './broker.errors.js';
import { conforming } from './payload-schema.js';

/** @throws {PayloadError} for a limit that is none. */
export function assertTimeout(pattern: string, timeoutMs: number): void {
  if (!(timeoutMs > 0))
    throw new PayloadError(`timeoutMs of the request "${pattern}" is ${timeoutMs}: it must be above 0 ms.`);
}

export function tooManyRequests(pattern: string, limit: number): OverloadedError {
  return new OverloadedError(`The request "${pattern}"`, limit, 'requests run');
}

/** What the policy of a request is told of it. */
export function executeOptions(deadline: number, { signal, idempotent }: RequestOptions): ExecuteOptions {
  if (!signal && idempotent === undefined) return { deadline };
  return { deadline, ...(signal && { signal }), ...(idempotent !== undefined && { idempotent }) };
}

/**
 * The answer, after the check of what is asked and before that of what is answered.
 * @throws {PayloadError} for either that does not fit its schema.
 */
export async function askChecked(
  pattern: string,
  payload: unknown,
  { schema, answerSchema, ask }: RequestOptions & { readonly ask: () => Promise<unknown> },
): Promise<unknown> {
  if (schema) await conforming(schema, payload, `The request "${pattern}"`);
  const answer = await ask();
  return answerSchema ? conforming(answerSchema, answer, `The answer to "${pattern}"`) : answer;
}
