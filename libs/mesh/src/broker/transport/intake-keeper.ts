import type { Clock, Timer } from '../../core/clock.js';
import { isMeshError } from '../../core/mesh.error.js';
import { SubscriptionFailedError } from '../broker.errors.js';
import type { ConnectionState } from './connection-state.js';
import type { IntakeSlot } from './intake-slot.js';

/** Pause before an intake that could not be opened is tried again. */
const REOPEN_MS = 1_000;

interface KeeperParts {
  readonly clock: Clock;
  /** Those that are to be open now. */
  readonly slots: () => readonly IntakeSlot[];
  readonly connection: ConnectionState;
  /** Whether new messages are wanted. */
  readonly isOpen: () => boolean;
  readonly onFailure: (what: string, error: unknown) => void;
}

/** Keeps the intakes of a broker open: what could not be opened is tried again until it works. */
export class IntakeKeeper {
  readonly #parts: KeeperParts;
  #again: Timer | undefined;

  constructor(parts: KeeperParts) {
    this.#parts = parts;
  }

  /**
   * Opens it now; while the server is away, when it is back. So is what the end of the connection broke off.
   * @throws {SubscriptionFailedError} when the server refuses it.
   */
  async open(slot: IntakeSlot): Promise<void> {
    const { connection } = this.#parts;
    const { breaks } = connection;
    if (!connection.isUp) return;
    try {
      await slot.ensure();
    } catch (error) {
      if (connection.breaks !== breaks) this.#onFailure(slot, error);
      else throw isMeshError(error) ? error : new SubscriptionFailedError(slot.name, error);
    }
  }

  /** Opens what is to be open and is not. Resolves when each of them is, or has failed for now. */
  async openAll(): Promise<void> {
    if (!this.#parts.connection.isUp || !this.#parts.isOpen()) return;
    await Promise.all(
      this.#parts.slots().map((slot) => slot.ensure().catch((error: unknown) => this.#onFailure(slot, error))),
    );
  }

  stop(): void {
    this.#again?.cancel();
    this.#again = undefined;
  }

  #onFailure({ name }: IntakeSlot, error: unknown): void {
    const { clock, onFailure } = this.#parts;
    onFailure(name, error);
    this.#again ??= clock.setTimer(() => {
      this.#again = undefined;
      void this.openAll();
    }, REOPEN_MS);
  }
}
