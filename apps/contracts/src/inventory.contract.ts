/** What inventory answers to. */
export const inventory = {
  listProducts: 'inventory.products.list',
  getProduct: 'inventory.products.get',
  reserve: 'inventory.reserve',
  countStock: 'inventory.stock.count',
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

/** One product on the shelves. */
export interface StockCount {
  readonly productId: string;
  readonly onHand: number;
  /** Taken from the shelf for orders that are neither paid nor cancelled yet. */
  readonly reserved: number;
}
