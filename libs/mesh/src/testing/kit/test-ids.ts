import { SystemIds } from '../../core/ids.js';

/** Dice that always fall the same way, so that jittered times are exact. */
export class TestIds extends SystemIds {
  /** What every throw gives, from 0 to below 1. */
  fraction = 0.5;

  override random(): number {
    return this.fraction;
  }
}
