import { describeFault } from './faults/configured-fault.js';
import type { PolicySettings } from './policy-settings.js';

/**
 * The stages that are on at `epochNow`, outermost first. The order is the same for every policy: local refusals stand outside the
 * breaker, so that they can't open it; a slot is not held during a back-off; each attempt is counted, timed out ones too.
 */
export function stagesOf(settings: PolicySettings, epochNow: number): string[] {
  const { timeoutMs, totalTimeoutMs, retry, hedge, rateLimit, bulkhead, circuitBreaker, fault } = settings;
  const stages: (string | false)[] = [
    totalTimeoutMs !== false && `total timeout ${totalTimeoutMs} ms`,
    retry !== false && `retry ${retry.maxRetries}x`,
    hedge !== false && `hedge ${hedge.maxHedges}x after ${hedge.delayMs}${hedge.delayMs === 'p95' ? '' : ' ms'}`,
    rateLimit !== false && `rate limit ${rateLimit.limit} per ${rateLimit.intervalMs} ms`,
    bulkhead !== false && `bulkhead ${bulkhead.maxConcurrent} + ${bulkhead.maxQueued} queued`,
    circuitBreaker !== false && `circuit breaker ${circuitBreaker.failureRatio * 100} %`,
    timeoutMs !== false && `attempt timeout ${timeoutMs} ms`,
    fault !== false &&
      Date.parse(fault.until) > epochNow &&
      `fault injection: ${describeFault(fault)} until ${fault.until}`,
    'function',
  ];
  return stages.filter((stage) => stage !== false);
}
