import type { Clock } from '../core/clock.js';
import type { MeshEventMap, MeshEventName, MeshEvents } from '../core/mesh.events.js';
import { MAX_EVENTS } from './ops.constants.js';

export interface JournalEntry {
  /** Counts up by one for each event; a gap tells a reader what it missed. */
  readonly id: number;
  /** Epoch ms. */
  readonly at: number;
  readonly name: MeshEventName;
  readonly event: MeshEventMap[MeshEventName];
}

/** The latest events of the mesh, and whoever follows them. */
export class EventJournal {
  readonly #clock: Clock;
  readonly #entries: JournalEntry[] = [];
  readonly #followers = new Set<(entry: JournalEntry) => void>();
  readonly #unsubscribe: () => void;
  #lastId = 0;

  constructor(events: MeshEvents, clock: Clock) {
    this.#clock = clock;
    this.#unsubscribe = events.onAny((name, event) => this.#add(name, event));
  }

  /** The events after `id`, oldest first. */
  after(id: number): readonly JournalEntry[] {
    const oldest = this.#lastId - this.#entries.length;
    const missing = Math.max(0, id - oldest);
    const start = this.#lastId % MAX_EVENTS;
    const ordered =
      this.#entries.length < MAX_EVENTS
        ? this.#entries
        : [...this.#entries.slice(start), ...this.#entries.slice(0, start)];
    return ordered.slice(missing);
  }

  get lastId(): number {
    return this.#lastId;
  }

  /** Calls back for each further event. Returns the function that ends it. */
  follow(follower: (entry: JournalEntry) => void): () => void {
    this.#followers.add(follower);
    return () => void this.#followers.delete(follower);
  }

  stop(): void {
    this.#unsubscribe();
    this.#followers.clear();
  }

  #add<N extends MeshEventName>(name: N, event: MeshEventMap[N]): void {
    const entry: JournalEntry = { id: this.#lastId + 1, at: this.#clock.now(), name, event };
    // A ring: the entry with id n stands at (n - 1) modulo its size.
    this.#entries[this.#lastId % MAX_EVENTS] = entry;
    this.#lastId++;
    for (const follower of this.#followers) follower(entry);
  }
}
