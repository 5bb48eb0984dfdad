/** What payments answers to. */
export const payments = {
  charge: 'payments.charge',
  configureProvider: 'payments.provider.configure',
  showAccount: 'payments.account.show',
} as const;

/** Charging twice for one order charges once: the order's id is the idempotency key. */
export interface Charge {
  readonly orderId: string;
  readonly amountCents: number;
}

export interface Receipt {
  readonly orderId: string;
  readonly paymentId: string;
  readonly amountCents: number;
}

/** How the stand-in for the payment provider behaves. */
export interface ProviderBehaviour {
  /** Share of the charges that fail, 0 to 1. */
  readonly failureRatio: number;
  /** How long each charge takes, in milliseconds. */
  readonly latencyMs: number;
}

/** What the provider has taken so far. */
export interface Account {
  readonly charges: number;
  readonly amountCents: number;
}
