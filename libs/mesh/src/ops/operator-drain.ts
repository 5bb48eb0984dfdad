import { HealthSource, type HealthSourceEntry } from '../core/health.port.js';

/** Whether an operator has taken the instance out of rotation: apart from what the application says of itself. */
export class OperatorDrain extends HealthSource {
  #entries: readonly HealthSourceEntry[] = [];

  begin(reason: string): void {
    this.#entries = [{ name: 'drain', status: 'down', reason, groups: { ready: 'required' } }];
  }

  end(): void {
    this.#entries = [];
  }

  override readHealth(): readonly HealthSourceEntry[] {
    return this.#entries;
  }
}
