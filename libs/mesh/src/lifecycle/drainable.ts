/** Something that takes work from outside and can run empty. */
export interface Drainable {
  /** Stands in logs and in what is left unfinished. */
  readonly name: string;
  /** How much work is running. */
  readonly inFlight: number;
  /** Readiness is off, but work is still taken: move callers on to other instances. */
  beginDrain?(): void;
  /** Whether callers hold connections over which work may be on its way: it then gets a moment to arrive. @default true */
  connected?(): Promise<boolean>;
  /** Takes no new work from now on. */
  stopIntake?(): Promise<void> | void;
  /** Resolves when nothing runs any more, or rejects when the signal aborts. */
  drained(signal: AbortSignal): Promise<void>;
  /** Drops what still runs. */
  abort?(): void;
}
