import type { Clock } from '../../core/clock.js';
import type { Ids } from '../../core/ids.js';
import { breakerId, type BreakerOverride } from './breaker-override.js';
import { RELEASE_KEPT_MS } from '../resilience.constants.js';

type Said = Omit<BreakerOverride, 'version' | 'id'>;

/**
 * The last word about each breaker, whoever said it. Two boards that exchange what they know agree in the end, in
 * whatever order they do: of each breaker the override with the higher version holds.
 */
export class OverrideBoard {
  readonly #last = new Map<string, BreakerOverride>();
  #version = 0;

  constructor(
    private readonly clock: Clock,
    private readonly ids: Ids,
  ) {}

  /** Notes what an operator said here. */
  say(said: Said): void {
    this.#version = Math.max(this.clock.now(), this.#version + 1);
    this.#last.set(breakerId(said), { ...said, version: this.#version, id: this.ids.next() });
  }

  /** Takes over what others know, and answers with what is news here. */
  merge(others: readonly BreakerOverride[]): BreakerOverride[] {
    const news = others.filter((other) => !this.#isOver(other) && isLater(other, this.#last.get(breakerId(other))));
    for (const override of news) {
      this.#version = Math.max(this.#version, override.version);
      this.#last.set(breakerId(override), override);
    }
    return news;
  }

  /** Whether somebody who knows only `others` would learn something from this board. */
  knowsMoreThan(others: readonly BreakerOverride[]): boolean {
    const theirs = new Map(others.map((other) => [breakerId(other), other]));
    return this.all().some((override) => isLater(override, theirs.get(breakerId(override))));
  }

  /** Whether a breaker is held by it now. */
  get holds(): boolean {
    return this.all().some(({ action }) => action !== 'release');
  }

  /** Everything that is not over yet. */
  all(): BreakerOverride[] {
    for (const [id, override] of this.#last) if (this.#isOver(override)) this.#last.delete(id);
    return [...this.#last.values()];
  }

  /** A release is remembered for a while, so that who still knows the hold learns of it. */
  #isOver({ action, until, version }: BreakerOverride): boolean {
    const endsAt = action === 'release' ? version + RELEASE_KEPT_MS : (until ?? Infinity);
    return endsAt <= this.clock.now();
  }
}

function isLater(override: BreakerOverride, known: BreakerOverride | undefined): boolean {
  if (!known || override.version !== known.version) return override.version > (known?.version ?? -Infinity);
  return override.id > known.id;
}
