export interface BulkheadSettings {
  readonly maxConcurrent: number;
  readonly maxQueued: number;
  readonly maxWaitMs: number;
}

/** A call in the queue. `admit` is called with a slot already taken for it. */
export interface Waiter {
  admit(): void;
}

/** Counts the calls that run, and queues the next ones in order. A slot is free again only when the work has settled. */
export class Bulkhead {
  #running = 0;
  #admitting = false;
  // A Set keeps insertion order and lets an aborted call leave from the middle at once.
  readonly #queue = new Set<Waiter>();

  constructor(private settings: BulkheadSettings) {}

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return this.#queue.size;
  }

  get maxWaitMs(): number {
    return this.settings.maxWaitMs;
  }

  tryEnter(): boolean {
    if (this.#running >= this.settings.maxConcurrent) return false;
    this.#running++;
    return true;
  }

  tryQueue(waiter: Waiter): boolean {
    if (this.#queue.size >= this.settings.maxQueued) return false;
    this.#queue.add(waiter);
    return true;
  }

  leaveQueue(waiter: Waiter): void {
    this.#queue.delete(waiter);
  }

  release(): void {
    this.#running--;
    if (this.#queue.size > 0) this.#admit();
  }

  /** Takes new limits over: more slots let waiting calls in now, fewer are reached as running calls end. */
  configure(settings: BulkheadSettings): void {
    this.settings = settings;
    this.#admit();
  }

  /** Why a call was refused, for its error. */
  describe(): string {
    const { maxConcurrent, maxQueued } = this.settings;
    return `all ${maxConcurrent} slots are taken and ${this.#queue.size} of ${maxQueued} places in its queue`;
  }

  #admit(): void {
    // A waiter whose function is synchronous releases its slot right here: the loop goes on, it does not recurse.
    if (this.#admitting) return;
    this.#admitting = true;
    for (const waiter of this.#queue) {
      if (!this.tryEnter()) break;
      this.#queue.delete(waiter);
      waiter.admit();
    }
    this.#admitting = false;
  }
}
