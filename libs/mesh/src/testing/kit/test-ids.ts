import { SystemIds } from '../../core/ids.js';

/** Neither early nor late: what is jittered takes exactly its time. */
export const MIDDLE = 0.5;

/** Dice that always fall the same way, so that jittered times are exact. */
export class TestIds extends SystemIds {
  /** What every throw gives, from 0 to below 1. */
  fraction: number = MIDDLE;

  override random(): number {
    return this.fraction;
  }
}
