import type { Clock } from '../core/clock.js';
import type { MeshEventMap, MeshEventName, MeshEvents } from '../core/mesh.events.js';
import { showable } from '../core/showable.js';
import { MAX_EVENTS_PER_NAME } from './ops.constants.js';

export interface JournalEntry {
  /** Counts up by one for each event; a gap tells a reader what it missed. */
  readonly id: number;
  /** Epoch ms. */
  readonly at: number;
  readonly name: MeshEventName;
  /** An error in it is reduced to what is shown of it: the error itself may hold a whole response. */
  readonly event: MeshEventMap[MeshEventName];
}

const ERROR_LIMITS = { maxDepth: 4, maxItems: 50 } as const;

/**
 * The latest events of the mesh, and whoever follows them. Each name has room of its own: what every failing call tells
 * must not push out the one transition that explains it.
 */
export class EventJournal {
  readonly #clock: Clock;
  readonly #entries = new Map<MeshEventName, JournalEntry[]>();
  readonly #followers = new Set<(entry: JournalEntry) => void>();
  readonly #unsubscribe: () => void;
  #lastId = 0;

  constructor(events: MeshEvents, clock: Clock) {
    this.#clock = clock;
    this.#unsubscribe = events.onAny((name, event) => this.#add(name, event));
  }

  /** The events after `id` that are still there, oldest first. */
  after(id: number): readonly JournalEntry[] {
    const kept = [...this.#entries.values()].flatMap((entries) => entries.filter((entry) => entry.id > id));
    return kept.sort((a, b) => a.id - b.id);
  }

  get lastId(): number {
    return this.#lastId;
  }

  /** Calls back for each further event, inside the code that emits it. Returns the function that ends it. */
  follow(follower: (entry: JournalEntry) => void): () => void {
    this.#followers.add(follower);
    return () => void this.#followers.delete(follower);
  }

  stop(): void {
    this.#unsubscribe();
    this.#followers.clear();
  }

  #add<N extends MeshEventName>(name: N, event: MeshEventMap[N]): void {
    let entries = this.#entries.get(name);
    if (!entries) this.#entries.set(name, (entries = []));
    if (entries.length === MAX_EVENTS_PER_NAME) entries.shift();
    const entry = { id: ++this.#lastId, at: this.#clock.now(), name, event: withoutLiveError(event) };
    entries.push(entry);
    for (const follower of this.#followers) follower(entry);
  }
}

function withoutLiveError<E extends object>(event: E): E {
  const { error } = event as { readonly error?: unknown };
  return error === undefined ? event : { ...event, error: showable(error, ERROR_LIMITS) };
}
