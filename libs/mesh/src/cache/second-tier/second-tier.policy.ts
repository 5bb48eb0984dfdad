/** The name of the policy that every operation of the second tier runs under. */
export const SECOND_TIER_POLICY_NAME = 'cache:l2';

/**
 * What that policy is unless configuration says otherwise: a breaker that opens fast. The second tier bounds its
 * own waits, and its probes are its own, one every `probeMs`, so that no reader pays for one.
 */
export const SECOND_TIER_POLICY = {
  timeoutMs: false,
  totalTimeoutMs: false,
  retry: false,
  bulkhead: false,
  rateLimit: false,
  hedge: false,
  circuitBreaker: {
    failureRatio: 0.5,
    minimumCalls: 5,
    windowMs: 10_000,
    // Shorter than a probe's interval: a probe that comes early, after a new connection, hardly has to wait.
    openMs: 250,
    maxOpenMs: 250,
    halfOpenCalls: 1,
  },
} as const;
