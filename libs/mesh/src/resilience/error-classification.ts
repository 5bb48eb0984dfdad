import { HttpException } from '@nestjs/common';
import { wasRetriedSince } from '../core/attempts.js';
import { isMeshError, type MeshError } from '../core/mesh.error.js';

export { attemptsOf, markAttempts, marksUntilNow } from '../core/attempts.js';

// Refused or given up on our side: they say nothing about the callee.
const LOCAL = new Set([
  'MESH_CIRCUIT_OPEN',
  'MESH_CIRCUIT_ISOLATED',
  'MESH_BULKHEAD_FULL',
  'MESH_RATE_LIMITED',
  'MESH_CANCELLED',
  'MESH_DRAINING',
  'MESH_CONFIG_INVALID',
]);

// The connection was never made, so the request can't have had an effect.
const UNSENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

interface ErrorLike {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly status?: unknown;
  readonly statusCode?: unknown;
  readonly retryable?: unknown;
  readonly retryAfterMs?: unknown;
  readonly sent?: unknown;
  readonly remote?: unknown;
  readonly cause?: unknown;
  readonly response?: { readonly status?: unknown; readonly headers?: unknown };
}

/**
 * Whether an error says that the callee is unwell. Timeouts, network errors, 5xx, 408, 429 and unknown errors do; other
 * 4xx, errors without a status that are marked `retryable: false`, aborts and refusals of our own policies do not.
 */
export function isCalleeFailure(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return true;
  const { name, retryable } = error as ErrorLike;
  if (isRefusedHere(error)) return false;
  if (name === 'AbortError') return false;
  const status = statusOf(error);
  if (status === undefined) return retryable !== false;
  return status >= 500 || status < 400 || status === 408 || status === 429;
}

/** Whether another attempt could end differently: every failure of the callee that no inner policy has retried since the mark. */
export function isRepeatable(error: unknown, mark = 0): boolean {
  if (!isCalleeFailure(error) || wasRetriedSince(mark, error)) return false;
  return (error as ErrorLike | null | undefined)?.retryable !== false;
}

/** Whether the error says that the callee never got the request: safe to repeat even when the function is not idempotent. */
export function isUnsent(error: unknown): boolean {
  for (let cause = error, depth = 0; typeof cause === 'object' && cause !== null && depth < 5; depth++) {
    const { sent, code, cause: inner } = cause as ErrorLike;
    if (sent === false || (typeof code === 'string' && UNSENT.has(code))) return true;
    cause = inner;
  }
  return false;
}

/** The default of `fallbackWhen`: the callee is unwell, or the call was refused to spare it. A caller that gave up gets no answer. */
export function isFallbackWorthy(error: unknown): boolean {
  if (isRefusedHere(error)) return error.code !== 'MESH_CANCELLED' && error.code !== 'MESH_CONFIG_INVALID';
  return isCalleeFailure(error);
}

/** What another service refused is its answer to us, whatever its code says there. */
function isRefusedHere(error: unknown): error is MeshError {
  return isMeshError(error) && LOCAL.has(error.code) && (error as { readonly remote?: unknown }).remote !== true;
}

/** How long the callee asks to wait: `retryAfterMs`, or the `Retry-After` of a response that the error carries. */
export function retryAfterMsOf(error: unknown, epochNow: number): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const { retryAfterMs, response } = error as ErrorLike;
  if (typeof retryAfterMs === 'number') return retryAfterMs >= 0 ? retryAfterMs : undefined;
  const header = headerOf(response?.headers, 'retry-after');
  if (header === undefined || header === '') return undefined;
  const seconds = Number(header);
  const waitMs = Number.isNaN(seconds) ? Date.parse(header) - epochNow : seconds * 1_000;
  return waitMs >= 0 ? waitMs : undefined;
}

function statusOf(error: object): number | undefined {
  if (error instanceof HttpException) return error.getStatus();
  const { status, statusCode, response } = error as ErrorLike;
  for (const candidate of [status, statusCode, response?.status])
    if (typeof candidate === 'number' && candidate >= 100 && candidate < 600) return candidate;
  return undefined;
}

function headerOf(headers: unknown, name: string): string | undefined {
  if (typeof headers !== 'object' || headers === null) return undefined;
  const value = headers instanceof Headers ? headers.get(name) : (headers as Readonly<Record<string, unknown>>)[name];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
}
