import { VirtualClock } from '../libs/mesh/src/testing/virtual-clock.js';

/** A clock on which the event loop can block: time passes, and no timer fires. */
export class BlockingClock extends VirtualClock {
  #blockedMs = 0;

  block(ms: number): void {
    this.#blockedMs += ms;
  }

  override monotonic(): number {
    return super.monotonic() + this.#blockedMs;
  }
}
