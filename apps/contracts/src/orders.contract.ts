/** What the gateway publishes about orders. */
export const orders = {
  placed: 'order.placed',
  paid: 'order.paid',
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
