import type { LayeredPolicy } from './policy-layers.js';
import type { PolicyDeclaration, PolicyOptions } from './resilience.options.js';

/** What a policy repeats, and who says that its function must run once at the most. */
export interface Repetition {
  /** The place that declares `idempotent: false`. */
  readonly notIdempotent?: string | undefined;
  /** The layer that asks for retries of this very policy; not a pattern's, a group's or the defaults'. */
  readonly retryAskedBy?: string | undefined;
}

/** What is wrong with the values of one layer alone. */
export function contradictionsWithin(values: PolicyOptions | PolicyDeclaration): string[] {
  const { circuitBreaker } = values;
  const fault = 'fault' in values && values.fault;
  const problems: string[] = [];
  if (
    circuitBreaker &&
    circuitBreaker.windowMs !== undefined &&
    circuitBreaker.windowCalls !== undefined &&
    circuitBreaker.windowCalls !== false
  )
    problems.push('circuitBreaker has both windowMs and windowCalls: a window is a time or a count, keep one.');
  if (fault && fault.ttlMs !== undefined && fault.until !== undefined)
    problems.push('fault has both ttlMs and until: it ends once, keep one.');
  return problems;
}

/** Combinations that can't do what they say. Each text names both values and where they come from. */
export function impossibleCombinations(
  policy: LayeredPolicy,
  { notIdempotent, retryAskedBy }: Repetition = {},
): string[] {
  const problems: string[] = [];
  const said = (path: string): string => `${path} ${String(policy.get(path))} (${policy.sourceOf(path)})`;
  const limit = (path: string): number => (policy.get(path) === false ? Infinity : policy.number(path));

  /** Complains when `low` is above `high`, unless nobody wrote `low` down. */
  const refuseAbove = (low: string, high: string, why: string): void => {
    if (policy.isExplicit(low) && policy.get(low) !== false && policy.number(low) > limit(high))
      problems.push(`${said(low)} is above ${said(high)}: ${why}.`);
  };

  refuseAbove('timeoutMs', 'totalTimeoutMs', 'the attempt could never use its time');
  if (policy.isOn('retry')) refuseAbove('retry.delayMs', 'retry.maxDelayMs', 'the delay is cut off at once');
  if (policy.isOn('circuitBreaker')) {
    refuseAbove('circuitBreaker.openMs', 'circuitBreaker.maxOpenMs', 'raise maxOpenMs too');
    refuseAbove('circuitBreaker.slowCallMs', 'timeoutMs', 'a call would time out before it is slow');
    const { windowCalls, minimumCalls } = {
      windowCalls: limit('circuitBreaker.windowCalls'),
      minimumCalls: policy.number('circuitBreaker.minimumCalls'),
    };
    if (minimumCalls > windowCalls)
      problems.push(
        `${said('circuitBreaker.minimumCalls')} is above ${said('circuitBreaker.windowCalls')}: it could never open.`,
      );
  }
  if (policy.isOn('bulkhead') && policy.isExplicit('bulkhead.maxWaitMs') && policy.get('bulkhead.maxQueued') === 0)
    problems.push(`${said('bulkhead.maxWaitMs')} needs a queue to wait in, and maxQueued is 0.`);
  if (policy.isOn('fault')) {
    if (policy.get('fault.until') === undefined && policy.get('fault.ttlMs') === undefined)
      problems.push(`fault (${policy.sourceOf('fault')}) has no end: give ttlMs or until.`);
    const isSlow = policy.number('fault.delayMs') > 0 && policy.number('fault.delayRatio') > 0;
    if (!isSlow && policy.number('fault.errorRatio') === 0 && policy.number('fault.hangRatio') === 0)
      problems.push(`fault (${policy.sourceOf('fault')}) does nothing: give errorRatio, delayMs or hangRatio.`);
  }
  if (policy.isOn('hedge')) {
    if (policy.isOn('retry'))
      problems.push(
        `hedge (${policy.sourceOf('hedge')}) and retry (${policy.sourceOf('retry')}) are both on: both repeat the call, keep one (retry: false).`,
      );
    if (policy.get('hedge.delayMs') !== 'p95')
      refuseAbove('hedge.delayMs', 'totalTimeoutMs', 'the extra attempt would never start');
    if (notIdempotent !== undefined)
      problems.push(
        `hedge (${policy.sourceOf('hedge')}) runs a function twice that ${notIdempotent} declares not idempotent.`,
      );
  }
  if (policy.isOn('retry') && retryAskedBy !== undefined && notIdempotent !== undefined)
    problems.push(
      `retry (${retryAskedBy}) repeats a function that ${notIdempotent} declares not idempotent: say idempotent: true once it is, or leave idempotent away to repeat only calls that were never sent.`,
    );
  return problems;
}
