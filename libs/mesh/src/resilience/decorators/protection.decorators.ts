import type {
  BulkheadOptions,
  CircuitBreakerOptions,
  PolicyDeclaration,
  PolicyPredicates,
  RateLimitOptions,
  RetryOptions,
} from '../resilience.options.js';
import type { AsyncMethodDecorator } from './async-method.js';
import type { CallFacts } from './method-policy.js';
import { addPart } from './resilient.decorator.js';

export interface CircuitBreakerDecoratorOptions<Args extends readonly unknown[] = readonly []>
  extends CircuitBreakerOptions, Pick<PolicyPredicates, 'isFailure' | 'isFailureResult'> {
  /** Selects the breaker among those of the policy, of the method's arguments: per tenant, per host. */
  readonly key?: (...args: Args) => string | undefined;
}

export interface RetryDecoratorOptions extends RetryOptions, Pick<PolicyPredicates, 'isRetryable'> {
  /** Whether the method may run twice without harm. Without it only calls are repeated that were never sent. @default false */
  readonly idempotent?: boolean;
}

export interface TimeoutDecoratorOptions {
  /** Limit of one attempt, in milliseconds. */
  readonly timeoutMs?: number;
  /** Limit of the whole call with all its retries and waits, in milliseconds. */
  readonly totalTimeoutMs?: number;
}

/**
 * Refuses calls of the method with a {@link CircuitOpenError} while it keeps failing. The name is that of the policy;
 * methods that name the same one share its breaker. @default the policy `Class.method`
 */
export function CircuitBreaker<Args extends readonly unknown[] = readonly []>(
  options?: CircuitBreakerDecoratorOptions<Args>,
): AsyncMethodDecorator<Args>;
export function CircuitBreaker<Args extends readonly unknown[] = readonly []>(
  policy: string,
  options?: CircuitBreakerDecoratorOptions<Args>,
): AsyncMethodDecorator<Args>;
export function CircuitBreaker<Args extends readonly unknown[]>(
  policyOrOptions?: string | CircuitBreakerDecoratorOptions<Args>,
  namedOptions?: CircuitBreakerDecoratorOptions<Args>,
): AsyncMethodDecorator<Args> {
  const [policy, options = {}] = named(policyOrOptions, namedOptions);
  const { key, isFailure, isFailureResult, ...circuitBreaker } = options;
  const declaration = { circuitBreaker, ...(isFailure && { isFailure }), ...(isFailureResult && { isFailureResult }) };
  return protection('@CircuitBreaker', policy, declaration, { key: key as CallFacts['key'] });
}

/** Repeats failed calls of the method: all of them when it is `idempotent`, else only those that were never sent. */
export function Retry({ idempotent, isRetryable, ...retry }: RetryDecoratorOptions = {}): AsyncMethodDecorator {
  return protection('@Retry', undefined, { retry, ...(isRetryable && { isRetryable }) }, { idempotent });
}

/** Gives up on the method with an {@link AttemptTimeoutError} after so many milliseconds; `callSignal()` in it aborts then. */
export function Timeout(timeout: number | TimeoutDecoratorOptions): AsyncMethodDecorator {
  return protection('@Timeout', undefined, typeof timeout === 'number' ? { timeoutMs: timeout } : { ...timeout });
}

/** Limits how many calls of the method, or of all methods that name the policy, run at once. */
export function Bulkhead(options: BulkheadOptions): AsyncMethodDecorator;
export function Bulkhead(policy: string, options?: BulkheadOptions): AsyncMethodDecorator;
export function Bulkhead(
  policyOrOptions: string | BulkheadOptions,
  namedOptions?: BulkheadOptions,
): AsyncMethodDecorator {
  const [policy, bulkhead = {}] = named(policyOrOptions, namedOptions);
  return protection('@Bulkhead', policy, { bulkhead });
}

/** Limits how many calls of the method, or of all methods that name the policy, begin per interval. */
export function RateLimit(options: RateLimitOptions): AsyncMethodDecorator;
export function RateLimit(policy: string, options?: RateLimitOptions): AsyncMethodDecorator;
export function RateLimit(
  policyOrOptions: string | RateLimitOptions,
  namedOptions?: RateLimitOptions,
): AsyncMethodDecorator {
  const [policy, rateLimit = {}] = named(policyOrOptions, namedOptions);
  return protection('@RateLimit', policy, { rateLimit });
}

function named<O extends object>(policyOrOptions: string | O | undefined, namedOptions: O | undefined) {
  return typeof policyOrOptions === 'string'
    ? ([policyOrOptions, namedOptions] as const)
    : ([undefined, policyOrOptions] as const);
}

function protection(
  decorator: string,
  policy: string | undefined,
  declaration: PolicyDeclaration,
  facts: CallFacts = {},
): (target: object, key: string | symbol, descriptor: PropertyDescriptor) => void {
  return (target, key, descriptor) => addPart(target, key, descriptor, { decorator, policy, declaration, ...facts });
}
