import { ConflictException, Injectable, NotFoundException } from '@nestjs/common';
import type { Product, Reservation, ReserveStock, StockCount } from '../../contracts/src/inventory.contract.js';

interface StockItem {
  readonly product: Product;
  onHand: number;
}

/** The shelves: what there is, what is reserved, what has been sold. */
@Injectable()
export class StockService {
  readonly #items = new Map<string, StockItem>(
    [
      { id: 'espresso', name: 'Espresso beans, 1 kg', priceCents: 1_890 },
      { id: 'grinder', name: 'Hand grinder', priceCents: 7_400 },
      { id: 'kettle', name: 'Gooseneck kettle', priceCents: 5_250 },
    ].map((product) => [product.id, { product, onHand: 1_000 }]),
  );
  readonly #reservations = new Map<string, ReserveStock>();
  readonly #released = new Set<string>();

  list(): Product[] {
    return [...this.#items.values()].map(({ product }) => product);
  }

  get(productId: string): Product {
    return this.#item(productId).product;
  }

  /** Repeating the reservation of an order changes nothing. */
  reserve(request: ReserveStock): Reservation {
    const item = this.#item(request.productId);
    if (this.#released.has(request.orderId)) throw new ConflictException(`Order ${request.orderId} is cancelled.`);
    if (!this.#reservations.has(request.orderId)) {
      if (item.onHand < request.quantity) {
        throw new ConflictException(`Only ${item.onHand} of "${request.productId}" are left.`);
      }
      item.onHand -= request.quantity;
      this.#reservations.set(request.orderId, request);
    }
    return { orderId: request.orderId, product: item.product, quantity: request.quantity };
  }

  /** Puts a reservation back on the shelf. It may overtake the reservation, which is then refused. */
  release(orderId: string): void {
    this.#released.add(orderId);
    const reservation = this.#reservations.get(orderId);
    if (!reservation) return;
    this.#reservations.delete(orderId);
    this.#item(reservation.productId).onHand += reservation.quantity;
  }

  /** The order is paid: what was reserved is sold. */
  sell(orderId: string): void {
    this.#reservations.delete(orderId);
  }

  count(): StockCount[] {
    const reserved = (productId: string): number =>
      [...this.#reservations.values()].reduce((sum, r) => (r.productId === productId ? sum + r.quantity : sum), 0);
    return [...this.#items].map(([productId, { onHand }]) => ({ productId, onHand, reserved: reserved(productId) }));
  }

  onHand(productId: string): number {
    return this.#item(productId).onHand;
  }

  #item(productId: string): StockItem {
    const item = this.#items.get(productId);
    if (!item) throw new NotFoundException(`There is no product "${productId}".`);
    return item;
  }
}
