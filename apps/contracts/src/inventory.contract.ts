/** What inventory answers to and what it listens for. */
export const inventory = {
  listProducts: 'inventory.products.list',
  getProduct: 'inventory.products.get',
  reserve: 'inventory.reserve',
  release: 'inventory.release',
} as const;

export interface Product {
  readonly id: string;
  readonly name: string;
  readonly priceCents: number;
}

export interface ReserveStock {
  readonly orderId: string;
  readonly productId: string;
  readonly quantity: number;
}

export interface Reservation {
  readonly orderId: string;
  readonly product: Product;
  readonly quantity: number;
}
