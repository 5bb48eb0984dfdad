/**
 * What is published about orders. The first three are the log of orders, from which whoever needs an order builds it. An
 * order that was placed ends as paid or cancelled, never as both.
 */
export const orders = {
  placed: 'order.placed',
  paid: 'order.paid',
  cancelled: 'order.cancelled',
  /** The payment can't be made now and will be tried again: news for whoever waits, nothing to remember. */
  paymentPutOff: 'order.payment-put-off',
} as const;

export interface OrderPlaced {
  readonly orderId: string;
  readonly productId: string;
  readonly quantity: number;
  readonly amountCents: number;
}

export interface OrderPaid {
  readonly orderId: string;
  readonly paymentId: string;
}

/** Its payment was refused. */
export interface OrderCancelled {
  readonly orderId: string;
}

export interface PaymentPutOff {
  readonly orderId: string;
}
