import type { TestInput } from './test-input.js';
import { failExpectation } from './failed-expectation.js';
import type { TestedMetrics } from './tested-metrics.js';
import type { Outage, TestStore } from './test-store.js';

/** The application's cache: its second tier is a store of the test, and can be taken away. */
export class TestedCache {
  constructor(
    private readonly store: TestStore,
    private readonly input: TestInput,
    private readonly metrics: TestedMetrics,
  ) {}

  /**
   * Every operation of the second tier fails from now on, or hangs. The cache notices at its next operations.
   * @throws when the application has no second tier.
   */
  takeSecondTierAway(outage: Outage = 'fails'): void {
    if (!this.input.hasSecondTier)
      failExpectation(
        'The application has no second tier to take away: give it cache.redis or cache.store, or add one for this test with configure.',
      );
    this.store.takeAway(outage);
  }

  /** The second tier answers again; the cache finds out by its next probe, on the virtual clock (`cache.secondTier.probeMs`). */
  bringSecondTierBack(): void {
    this.store.bringBack();
  }

  /** How many requests were answered with a fresh value, of one namespace or of all. */
  async hits(namespace?: string): Promise<number> {
    return (await this.#requests('hit', namespace)) + (await this.#requests('hit_l2', namespace));
  }

  /** How many requests had to wait for their factory or found nothing. */
  misses(namespace?: string): Promise<number> {
    return this.#requests('miss', namespace);
  }

  /** @throws when {@link hits} is another number. */
  async expectHits(expected: number, namespace?: string): Promise<void> {
    const actual = await this.hits(namespace);
    if (actual === expected) return;
    const where = namespace === undefined ? 'The cache' : `Cache "${namespace}"`;
    const misses = await this.misses(namespace);
    failExpectation(`${where} was expected to have ${expected} hits and has ${actual}, beside ${misses} misses`, {
      actual,
      expected,
    });
  }

  #requests(result: string, namespace: string | undefined): Promise<number> {
    return this.metrics.valueIfAny('mesh_cache_requests_total', {
      result,
      ...(namespace !== undefined && { cache: namespace }),
    });
  }
}
