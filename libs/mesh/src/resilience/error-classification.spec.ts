import { BadRequestException, HttpException, ServiceUnavailableException } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import {
  attemptsOf,
  isCalleeFailure,
  isFallbackWorthy,
  isRepeatable,
  isUnsent,
  markAttempts,
  retryAfterMsOf,
} from './error-classification.js';
import { RemoteError, toWire } from './filters/remote.error.js';
import {
  AttemptTimeoutError,
  BulkheadFullError,
  CancelledError,
  CircuitOpenError,
  DeadlineExceededError,
  RateLimitedError,
} from './resilience.errors.js';

const notFoundThere = new RemoteError({
  status: 'error',
  code: 'HTTP_404',
  message: 'no such product',
  statusCode: 404,
  retryable: false,
});
const wireOf = (error: CircuitOpenError | DeadlineExceededError) => toWire(error, 'stock');

describe('a failure of the callee', () => {
  it.each<[string, unknown]>([
    ['an unknown error', new Error('x')],
    ['something that is no error', 'x'],
    ['nothing at all', undefined],
    ['a 5xx of Nest', new ServiceUnavailableException()],
    ['a 408', new HttpException('slow', 408)],
    ['a 429', { response: { status: 429 } }],
    ['a failed connection', Object.assign(new TypeError('fetch failed'), { cause: { code: 'ECONNRESET' } })],
    ['our own timeout', new AttemptTimeoutError('p', 1)],
    ['an open circuit of another service', new RemoteError(wireOf(new CircuitOpenError('p', 1)))],
    ['its wire form', wireOf(new CircuitOpenError('p', 1))],
    ['a 5xx that is not to be retried', wireOf(new DeadlineExceededError('p', 'x'))],
  ])('is %s', (_name, error) => expect(isCalleeFailure(error)).toBe(true));

  it.each<[string, unknown]>([
    ['a 4xx', new BadRequestException()],
    ['a 4xx of another service', notFoundThere],
    ['an abort', new DOMException('aborted', 'AbortError')],
    ['a business error that is marked as final', { code: 'OUT_OF_STOCK', retryable: false }],
    ['an open circuit of ours', new CircuitOpenError('p', 1)],
    ['a full bulkhead of ours', new BulkheadFullError('p', 'x')],
    ['a rate limit of ours', new RateLimitedError('p', 1)],
    ['a caller that gave up', new CancelledError('p')],
  ])('is not %s', (_name, error) => expect(isCalleeFailure(error)).toBe(false));
});

describe('another attempt', () => {
  it('is no use when the failure says so', () => {
    expect(isRepeatable(new Error('x'))).toBe(true);
    expect(isRepeatable(wireOf(new DeadlineExceededError('p', 'x')))).toBe(false);
    expect(isRepeatable(new DeadlineExceededError('p', 'x'))).toBe(false);
  });

  it('is no use when an inner policy has retried already', () => {
    const error = new Error('x');
    markAttempts(error, 3);
    expect([attemptsOf(error), isRepeatable(error)]).toEqual([3, false]);
  });

  it('is safe when the request was never sent, however deep the reason lies', () => {
    const refused = new Error('outer', { cause: new Error('inner', { cause: { code: 'ECONNREFUSED' } }) });
    expect([isUnsent(refused), isUnsent(new Error('x')), isUnsent(undefined)]).toEqual([true, false, false]);
  });

  it('is due when the callee asks for it, in seconds or as a date', () => {
    const at = (header: string): number | undefined =>
      retryAfterMsOf({ response: { headers: new Headers({ 'Retry-After': header }) } }, Date.UTC(2026, 0, 1));
    expect([at('3'), at('Thu, 01 Jan 2026 00:00:05 GMT'), at('soon'), at('-1')]).toEqual([
      3_000,
      5_000,
      undefined,
      undefined,
    ]);
  });
});

describe('a fallback', () => {
  it('answers failures and refusals, but neither wrong requests nor callers that left', () => {
    const errors = [new Error('x'), new CircuitOpenError('p', 1), new BadRequestException(), new CancelledError('p')];
    expect(errors.map(isFallbackWorthy)).toEqual([true, true, false, false]);
  });
});
