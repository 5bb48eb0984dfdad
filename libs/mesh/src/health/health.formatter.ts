import type { HealthSnapshot } from './health-group.js';

/** A probe's answer in the shape of Terminus. */
export interface HealthBody {
  readonly status: string;
  readonly info: object;
  readonly error: object;
  readonly details: object;
}

/** Turns a snapshot into a probe's answer. */
export abstract class HealthFormatter {
  abstract format(snapshot: HealthSnapshot): Promise<HealthBody>;
}
