import type { BreakerState } from '../../core/policy.port.js';
import type { BreakerControl, HoldOptions } from '../breaker-control.js';
import type { CircuitBreaker } from '../circuit-breaker.js';
import type { BreakerSnapshot } from '../policy-description.js';
import type { BreakerOverride } from './breaker-override.js';

/** What is said of the breaker here, for those who are to hear of it. */
export type Saying = Pick<BreakerOverride, 'action' | 'reason' | 'author' | 'until'>;

/** An operator's grip on one breaker that also tells the other instances what it does. */
export class OperatedBreaker implements BreakerControl {
  constructor(
    private readonly breaker: CircuitBreaker,
    private readonly say: (saying: Saying) => void,
  ) {}

  get state(): BreakerState {
    return this.breaker.state;
  }

  snapshot(): BreakerSnapshot {
    return this.breaker.snapshot();
  }

  isolate(options: HoldOptions): Disposable {
    return this.#hold('isolate', options);
  }

  disable(options: HoldOptions): Disposable {
    return this.#hold('disable', options);
  }

  trip(reason: string): void {
    this.#releasing(() => this.breaker.trip(reason));
  }

  release(): void {
    this.#releasing(() => this.breaker.release());
  }

  reset(): void {
    this.#releasing(() => this.breaker.reset());
  }

  #hold(action: 'isolate' | 'disable', options: HoldOptions): Disposable {
    const hold = this.breaker[action](options);
    if (options.scope === 'instance') return hold;
    const { reason, author } = options;
    const { held } = this.breaker.snapshot();
    this.say({
      action,
      reason,
      ...(author !== undefined && { author }),
      ...(held?.until !== undefined && { until: held.until }),
    });
    return { [Symbol.dispose]: () => this.#releasing(() => hold[Symbol.dispose]()) };
  }

  #releasing(release: () => void): void {
    const wasHeld = this.breaker.held;
    release();
    if (wasHeld && !this.breaker.held) this.say({ action: 'release', reason: 'released' });
  }
}
