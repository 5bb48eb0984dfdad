import type { CallContexts } from '../core/call-context.js';
import type { Clock, Timer } from '../core/clock.js';
import type { Outcome } from './policy-observer.js';
import { REJECTION_SAMPLE_MS } from './resilience.constants.js';

/** Calls that were refused with one outcome. */
export interface Refusals {
  readonly outcome: Outcome;
  readonly count: number;
  /** The key of the breaker, if it was the same for all of them. */
  readonly key: string | undefined;
}

interface Kind {
  count: number;
  key: string | undefined;
  quietUntil: number;
}

interface TallyDeps {
  readonly clock: Clock;
  readonly contexts: CallContexts;
}

/**
 * Counts refused calls and tells of them once a second an outcome: of the first at once, of those that follow when the
 * second is over, whether or not more come.
 */
export class RefusalTally {
  readonly #kinds: Partial<Record<Outcome, Kind>> = {};
  #timer: Timer | undefined;
  #over = false;

  constructor(
    private readonly deps: TallyDeps,
    private readonly tell: (refusals: Refusals) => void,
  ) {}

  /** `now` is monotonic. */
  add(outcome: Outcome, key: string | undefined, now: number): void {
    const kind = (this.#kinds[outcome] ??= { count: 0, key, quietUntil: 0 });
    if (kind.count === 0) kind.key = key;
    else if (kind.key !== key) kind.key = undefined;
    kind.count++;
    if (now >= kind.quietUntil) this.#tell(outcome, kind, now);
    else this.#arm();
  }

  /** Tells of what is left, and counts on without a timer. */
  dispose(): void {
    this.#over = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#tellAll(Infinity);
  }

  #arm(): void {
    if (this.#timer || this.#over) return;
    const { clock, contexts } = this.deps;
    // The refused call's request has nothing to do with the others.
    this.#timer = contexts.exit(() => clock.setTimer(() => this.#onTimer(), REJECTION_SAMPLE_MS));
  }

  #onTimer(): void {
    this.#timer = undefined;
    if (this.#tellAll(this.deps.clock.monotonic())) this.#arm();
  }

  /** Whether there is something left that it is too early to tell of. */
  #tellAll(now: number): boolean {
    let isLeft = false;
    for (const [outcome, kind] of Object.entries(this.#kinds) as [Outcome, Kind][]) {
      if (kind.count === 0) continue;
      if (now >= kind.quietUntil) this.#tell(outcome, kind, now);
      else isLeft = true;
    }
    return isLeft;
  }

  #tell(outcome: Outcome, kind: Kind, now: number): void {
    const { count, key } = kind;
    kind.count = 0;
    kind.quietUntil = now + REJECTION_SAMPLE_MS;
    this.tell({ outcome, count, key });
  }
}
