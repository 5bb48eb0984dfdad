import { HealthSource, type HealthSourceEntry } from '../core/health.port.js';
import type { ComponentReport } from './lifecycle.report.js';

/** Optional components that are not up, as health: the application is degraded until a retry brings them up. */
export class LifecycleHealth extends HealthSource {
  readonly #lifecycle: { report(): readonly ComponentReport[] };

  constructor(lifecycle: { report(): readonly ComponentReport[] }) {
    super();
    this.#lifecycle = lifecycle;
  }

  override readHealth(): readonly HealthSourceEntry[] {
    return this.#lifecycle
      .report()
      .filter(isDown)
      .map(({ name, attempts, reason }) => ({
        name,
        status: 'degraded',
        ...(reason !== undefined && { reason }),
        details: { startAttempts: attempts },
      }));
  }
}

/** A retry is no news until it has succeeded: the reason of the last failure stays until then. */
function isDown({ state, reason }: ComponentReport): boolean {
  return state === 'degraded' || (state === 'starting' && reason !== undefined);
}
