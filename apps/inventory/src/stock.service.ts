import { ConflictException, Injectable, NotFoundException } from '@nestjs/common';
import type { Product, Reservation, ReserveStock, StockCount } from '../../contracts/src/inventory.contract.js';

/** How long goods wait for the order that they were reserved for. */
const HELD_FOR_MS = Number(process.env['SHOP_HELD_FOR_MS'] ?? 30_000);

/** What each shelf had in the beginning. */
const STOCKED = Number(process.env['SHOP_STOCKED'] ?? 1_000);

/** The shelves: what there is, what is reserved, what has been sold. Everything but short reservations is in the log of orders. */
@Injectable()
export class StockService {
  readonly #products = new Map<string, Product>(
    [
      { id: 'espresso', name: 'Espresso beans, 1 kg', priceCents: 1_890 },
      { id: 'grinder', name: 'Hand grinder', priceCents: 7_400 },
      { id: 'kettle', name: 'Gooseneck kettle', priceCents: 5_250 },
    ].map((product) => [product.id, product]),
  );
  readonly #onHand = new Map([...this.#products.keys()].map((id) => [id, STOCKED]));
  readonly #taken = new Map<string, ReserveStock>();
  /** Those of the taken that were not ordered yet, with the instant at which they go back. */
  readonly #held = new Map<string, number>();
  readonly #sold = new Set<string>();
  readonly #released = new Set<string>();

  list(): Product[] {
    return [...this.#products.values()];
  }

  get(productId: string): Product {
    const product = this.#products.get(productId);
    if (!product) throw new NotFoundException(`There is no product "${productId}".`);
    return product;
  }

  /** Holds goods for an order that is about to be placed. Repeating it changes nothing. */
  reserve(request: ReserveStock): Reservation {
    const { orderId, productId, quantity } = request;
    const product = this.get(productId);
    this.#putBackForgotten();
    if (this.#released.has(orderId)) throw new ConflictException(`Order ${orderId} is cancelled.`);
    if (!this.#taken.has(orderId)) {
      const left = this.onHand(productId);
      if (left < quantity) throw new ConflictException(`Only ${left} of "${productId}" are left.`);
      this.take(request);
      this.#held.set(orderId, Date.now() + HELD_FOR_MS);
    }
    return { orderId, product, quantity };
  }

  /** The order is placed: its goods are off the shelf for good, even if nobody held them any more. */
  take(request: ReserveStock): void {
    const { orderId } = request;
    this.#held.delete(orderId);
    if (this.#taken.has(orderId) || this.#released.has(orderId)) return;
    this.#taken.set(orderId, request);
    this.#shelve(request.productId, -request.quantity);
  }

  /** The order is cancelled, which may be heard before it is placed. */
  release(orderId: string): void {
    this.#released.add(orderId);
    this.#putBack(orderId);
  }

  /** The order is paid: what was reserved is sold. */
  sell(orderId: string): void {
    this.#sold.add(orderId);
  }

  count(): StockCount[] {
    this.#putBackForgotten();
    const reserved = (productId: string): number =>
      [...this.#taken.values()].reduce(
        (sum, taken) => (taken.productId === productId && !this.#sold.has(taken.orderId) ? sum + taken.quantity : sum),
        0,
      );
    return [...this.#onHand].map(([productId, onHand]) => ({ productId, onHand, reserved: reserved(productId) }));
  }

  onHand(productId: string): number {
    return this.#onHand.get(this.get(productId).id)!;
  }

  /** Reservations without an order: whoever made them failed or was killed. */
  #putBackForgotten(): void {
    const now = Date.now();
    for (const [orderId, until] of this.#held) {
      if (until > now) return;
      this.#held.delete(orderId);
      this.#putBack(orderId);
    }
  }

  #putBack(orderId: string): void {
    const taken = this.#taken.get(orderId);
    if (!taken) return;
    this.#taken.delete(orderId);
    this.#shelve(taken.productId, taken.quantity);
  }

  #shelve(productId: string, quantity: number): void {
    this.#onHand.set(productId, this.onHand(productId) + quantity);
  }
}
