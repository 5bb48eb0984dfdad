import { MAX_TAG_MARKERS } from './cache.constants.js';

/**
 * When each tag of a namespace was last deleted. Values carry the stamp of the moment their load began, so that one
 * comparison tells the dead ones - in memory, still loading, or in the second tier - and deleting a tag walks nothing.
 */
export class TagMarkers {
  readonly #deletedAt = new Map<string, number>();
  /** Tagged values that are older than this are dead: it stands in for the markers that were forgotten. */
  #floor = 0;
  /** The same for every value, tagged or not: when the namespace was last cleared. */
  #clearedAt = 0;
  #version = 0;

  constructor(private readonly limit = MAX_TAG_MARKERS) {}

  /** Grows with every deletion: a value that was alive at this version still is. */
  get version(): number {
    return this.#version;
  }

  mark(tag: string, stamp: number): void {
    const known = this.#deletedAt.get(tag) ?? 0;
    if (stamp <= known) return;
    this.#version++;
    this.#deletedAt.delete(tag);
    this.#deletedAt.set(tag, stamp);
    if (this.#deletedAt.size <= this.limit) return;
    for (const [oldest, at] of this.#deletedAt) {
      this.#deletedAt.delete(oldest);
      this.#floor = Math.max(this.#floor, at);
      return;
    }
  }

  markAll(stamp: number): void {
    if (stamp <= this.#clearedAt) return;
    this.#version++;
    this.#clearedAt = stamp;
  }

  /** When the newest deletion happened that concerns a value with these tags; 0 when there was none. */
  deletedAt(tags: readonly string[]): number {
    let newest = tags.length > 0 ? Math.max(this.#floor, this.#clearedAt) : this.#clearedAt;
    for (const tag of tags) newest = Math.max(newest, this.#deletedAt.get(tag) ?? 0);
    return newest;
  }
}
