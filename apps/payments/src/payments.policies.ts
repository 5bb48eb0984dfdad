import type { PolicyOptions } from 'nestjs-mesh';

/** Who asks for a charge repeats it and has a circuit breaker: another of each here would only delay the recovery. */
export const paymentsPolicies: Record<string, PolicyOptions> = {
  'payments.provider': { timeoutMs: 2_000, retry: false, circuitBreaker: false },
};
