import type { Intake } from './transport-driver.port.js';

/** The place of one intake: opened once, again after a failure, and never again after its stop. */
export class IntakeSlot {
  /** What comes in by it: `messages of "orders"`. */
  readonly name: string;
  readonly #open: () => Promise<Intake>;
  #opening: Promise<Intake> | undefined;
  #intake: Intake | undefined;
  #stopped: Promise<void> | undefined;

  constructor(name: string, open: () => Promise<Intake>) {
    this.name = name;
    this.#open = open;
  }

  /** Under way and not yet sure. */
  get opening(): Promise<unknown> | undefined {
    return this.#intake ? undefined : this.#opening;
  }

  get lag(): number {
    return this.#intake?.lag ?? 0;
  }

  /** Opens it if it is not open. A failure rejects, and the next call tries again. */
  async ensure(): Promise<void> {
    if (this.#stopped) return;
    this.#opening ??= this.#open();
    try {
      this.#intake = await this.#opening;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }

  /** Once, however often it is asked for. */
  stop(): Promise<void> {
    this.#stopped ??= this.#close();
    return this.#stopped;
  }

  async #close(): Promise<void> {
    // At once where it can be: what is published from now on is not for it.
    if (this.#intake) return this.#intake.stop();
    const intake = await this.#opening?.catch(() => undefined);
    await intake?.stop();
  }
}
