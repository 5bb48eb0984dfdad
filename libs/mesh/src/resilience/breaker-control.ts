import type { BreakerState } from '../core/policy.port.js';
import type { BreakerSnapshot } from './policy-description.js';

/** The operator's grip on one breaker. */
export interface BreakerControl {
  readonly state: BreakerState;
  snapshot(): BreakerSnapshot;
  /** Refuses every call until released, or for `ttlMs`. Disposing the result releases it. */
  isolate(options: HoldOptions): Disposable;
  /** Lets every call pass, still counted, until released, or for `ttlMs`. Disposing the result releases it. */
  disable(options: HoldOptions): Disposable;
  /** Opens it as failures would, for its open time; then it lets probes through. Ends {@link isolate} and {@link disable}. */
  trip(reason: string): void;
  /** Ends {@link isolate} or {@link disable}: closed, with an empty window. */
  release(): void;
  /** Closed with an empty window, whatever it was. */
  reset(): void;
}

export interface HoldOptions {
  readonly reason: string;
  /** The hold ends by itself after so many milliseconds. @default never */
  readonly ttlMs?: number;
  /** Who holds it: shown wherever the reason is. */
  readonly author?: string;
  /** `service`: the other instances pick it up, where there is a cache that they share. @default 'service' */
  readonly scope?: 'service' | 'instance';
}
