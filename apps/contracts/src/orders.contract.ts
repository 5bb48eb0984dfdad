/** What the gateway publishes about orders. An order that was placed ends as paid or cancelled, never as both. */
export const orders = {
  placed: 'order.placed',
  paid: 'order.paid',
  cancelled: 'order.cancelled',
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

/** There will be no such order. It may never have been placed: a reservation whose outcome is unknown ends with this too. */
export interface OrderCancelled {
  readonly orderId: string;
}
