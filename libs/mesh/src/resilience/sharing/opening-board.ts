import { z } from 'zod';
import type { Clock } from '../../core/clock.js';
import type { CircuitBreaker } from '../circuit-breaker.js';
import { MAX_SHARED_OPENINGS } from '../resilience.constants.js';
import { breakerId } from './breaker-override.js';

/** A breaker that opened, for an instance that starts before it would have let probes through. */
const openingSchema = z.object({
  policy: z.string(),
  key: z.string().optional(),
  /** Epoch ms. */
  openUntil: z.number(),
  openings: z.number().int().positive(),
});

export const openingsSchema = z.array(openingSchema);

export type Opening = z.infer<typeof openingSchema>;

/** The breakers that opened here and have not been told of yet. */
export class OpeningBoard {
  readonly #untold = new Map<string, CircuitBreaker>();

  constructor(private readonly clock: Clock) {}

  note(breaker: CircuitBreaker): void {
    if (this.#untold.size < MAX_SHARED_OPENINGS) this.#untold.set(breakerId(breaker), breaker);
  }

  get hasNews(): boolean {
    return this.#untold.size > 0;
  }

  /** What others wrote with ours added, without what is over. Ours count as told from now on. */
  addTo(others: readonly Opening[]): Opening[] {
    const openings = new Map(others.map((opening) => [breakerId(opening), opening]));
    for (const [id, breaker] of this.#untold) {
      const { policy, key, openUntil, openings: count } = breaker.snapshot();
      if (openUntil !== undefined)
        openings.set(id, { policy, ...(key !== undefined && { key }), openUntil, openings: count });
    }
    this.#untold.clear();
    const now = this.clock.now();
    return [...openings.values()]
      .filter(({ openUntil }) => openUntil > now)
      .sort((a, b) => b.openUntil - a.openUntil)
      .slice(0, MAX_SHARED_OPENINGS);
  }
}
