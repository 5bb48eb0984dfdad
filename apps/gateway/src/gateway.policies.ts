import type { PolicyOptions } from 'nestjs-mesh';

/** How the gateway protects itself from payments. The numbers are small so that a person can watch the circuit open. */
export const gatewayPolicies: Record<string, PolicyOptions> = {
  'payments.charge': {
    timeoutMs: 800,
    retry: { maxRetries: 1 },
    circuitBreaker: { minimumCalls: 4, openMs: 2_000, maxOpenMs: 5_000 },
  },
};
