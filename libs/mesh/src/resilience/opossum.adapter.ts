// oxlint-disable-next-line typescript/triple-slash-reference -- opossum has no types; a program that starts elsewhere finds ours by this
/// <reference path="./opossum.d.ts" />
import { EventEmitter } from 'node:events';
import CircuitBreaker from 'opossum';

/** What opossum's statistics are read from; asked for anew each time, because a reload may replace the window. */
export interface WindowTotals {
  readonly calls: number;
  readonly failures: number;
}

type OpossumState = 'closed' | 'open' | 'half-open';

/**
 * The part of a breaker that opossum plays: it holds the state, and every opening, probing and closing goes through it.
 *
 * Calls never pass through it, because its `fire` costs twelve bare awaits and lets listeners, late results and its own
 * bulkhead decide about state. It is made at the first failure, keeps no timer and stays private to its breaker.
 */
export class OpossumSwitch {
  #breaker: SlimBreaker;

  constructor(
    private readonly name: string,
    private readonly totals: () => WindowTotals,
  ) {
    this.#breaker = new SlimBreaker(name, totals);
  }

  open(): OpossumState {
    this.#breaker.open();
    return this.state;
  }

  /** By opossum's own way to restore a saved state: its other way is a wall-clock timer in a stranger's async context. */
  halfOpen(): OpossumState {
    this.#breaker = new SlimBreaker(this.name, this.totals, { closed: false, halfOpen: true });
    return this.state;
  }

  close(): OpossumState {
    this.#breaker.close();
    return this.state;
  }

  shutdown(): void {
    this.#breaker.shutdown();
  }

  get state(): OpossumState {
    if (this.#breaker.closed) return 'closed';
    return this.#breaker.halfOpen ? 'half-open' : 'open';
  }

  /** opossum's own view of the window. */
  get stats(): Readonly<Record<string, unknown>> {
    return this.#breaker.stats;
  }
}

// Taken through opossum's public factory; with a controller and without snapshots it starts no timer.
const Status = CircuitBreaker.newStatus({ rotateBucketController: new EventEmitter(), enableSnapshots: false })
  .constructor as new () => object;

/** opossum accepts any instance of its Status; the stock one keeps every latency of the window and two intervals. */
class WindowStatus {
  constructor(readonly totals: () => WindowTotals) {}

  get stats(): Readonly<Record<string, unknown>> {
    const { calls, failures } = this.totals();
    return { fires: calls, failures, successes: calls - failures };
  }

  open(): void {}
  close(): void {}
  shutdown(): void {}
  removeRotateBucketControllerListener(): void {}
  startListeneningForRotateEvent(): void {}
}
Object.setPrototypeOf(WindowStatus.prototype, Status.prototype as object);

const NO_ACTION = (): boolean => true;

// What opossum reads from its options once it is built: whether to renew an AbortController.
const BARE_OPTIONS = Object.freeze({});

/**
 * opossum without what only `fire` needs: the thirteen listeners that it puts on itself, one of which arms its reset timer,
 * its copy of the options and its semaphore. They are four fifths of its heap.
 */
class SlimBreaker extends CircuitBreaker {
  constructor(name: string, totals: () => WindowTotals, state?: object) {
    super(NO_ACTION, { name, timeout: false, status: new WindowStatus(totals), ...(state && { state }) });
    this.options = BARE_OPTIONS;
    this.semaphore = undefined;
  }

  override on(): this {
    return this;
  }
}
