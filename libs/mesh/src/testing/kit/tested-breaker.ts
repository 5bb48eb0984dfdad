import type { BreakerControl, BreakerSnapshot, BreakerState } from '../../index.js';
import { failExpectation, listed } from './failed-expectation.js';
import type { TestClock } from './test-clock.js';

const REASON = 'the test';

/** One circuit breaker, to be put into any state. */
export class TestedBreaker {
  constructor(
    private readonly control: BreakerControl,
    private readonly clock: TestClock,
    private readonly told: { readonly name: string; readonly transitions: () => readonly string[] },
  ) {}

  get state(): BreakerState {
    return this.control.state;
  }

  /** Its changes so far: `['closed -> open', 'open -> half-open']`. */
  get transitions(): readonly string[] {
    return this.told.transitions();
  }

  /** Refuses calls with MESH_CIRCUIT_OPEN for its open time, as after failures. */
  open(): void {
    this.control.trip(REASON);
  }

  /** Lets its probes through. Moves the clock to the end of its open time, because nothing else brings a breaker there. */
  async halfOpen(): Promise<void> {
    this.open();
    const { openUntil } = this.control.snapshot();
    await this.clock.advance(Math.max(0, (openUntil ?? 0) - this.clock.now()));
  }

  /** Lets calls through, with an empty window. */
  close(): void {
    this.control.reset();
  }

  /** Refuses calls with MESH_CIRCUIT_ISOLATED until {@link close}, as an operator would. */
  isolate(reason = REASON): void {
    this.control.isolate({ reason, scope: 'instance' });
  }

  /** Lets every call pass until {@link close}, whatever becomes of it. */
  disable(reason = REASON): void {
    this.control.disable({ reason, scope: 'instance' });
  }

  snapshot(): BreakerSnapshot {
    return this.control.snapshot();
  }

  /** @throws when it is in another state. */
  expectState(expected: BreakerState): void {
    const { state: actual, failures, calls } = this.control.snapshot();
    if (actual === expected) return;
    failExpectation(
      `Circuit "${this.told.name}" was expected to be ${expected} and is ${actual}, after ${failures} failures of ${calls} calls in its window; it went${listed(this.transitions)}`,
      { actual, expected },
    );
  }

  /** @throws when it went through other states than these, in this order: `'open', 'half-open', 'closed'`. */
  expectTransitions(...states: readonly BreakerState[]): void {
    const actual = this.transitions.map((transition) => transition.slice(transition.indexOf('> ') + 2));
    if (actual.length === states.length && states.every((state, index) => state === actual[index])) return;
    failExpectation(
      `Circuit "${this.told.name}" was expected to go to ${states.join(', ') || 'no other state'}; it went${listed(this.transitions)}`,
      {
        actual,
        expected: states,
      },
    );
  }
}
