import type { DeadLetter, DeadLetters } from '../core/broker.port.js';

/** The dead letters of one topic, in memory: listed, sent again, or discarded. They do not survive the process. */
export class DeadLetterQueue implements DeadLetters {
  #letters: DeadLetter[] = [];
  readonly #redeliver: (letter: DeadLetter) => boolean;

  constructor(redeliver: (letter: DeadLetter) => boolean) {
    this.#redeliver = redeliver;
  }

  get size(): number {
    return this.#letters.length;
  }

  list(): readonly DeadLetter[] {
    return [...this.#letters];
  }

  /**
   * Delivers the letters (those with these message ids, when given) again, as first attempts, to the subscriptions that
   * gave them up. A letter whose subscription is gone or has no room stays. Returns how many went.
   */
  redrive(ids?: readonly string[]): number {
    const before = this.#letters;
    this.#letters = [];
    const stay = before.filter((letter) => (ids && !ids.includes(letter.message.id)) || !this.#redeliver(letter));
    this.#letters = [...stay, ...this.#letters];
    return before.length - stay.length;
  }

  /** Forgets the letters (those with these message ids, when given). Returns how many. */
  discard(ids?: readonly string[]): number {
    const before = this.#letters.length;
    this.#letters = ids ? this.#letters.filter(({ message }) => !ids.includes(message.id)) : [];
    return before - this.#letters.length;
  }

  /** Keeps the letter, dropping the oldest beyond `limit`. Returns whether nothing was dropped. */
  add(letter: DeadLetter, limit: number): boolean {
    this.#letters.push(letter);
    const excess = this.#letters.length - limit;
    if (excess > 0) this.#letters.splice(0, excess);
    return excess <= 0;
  }
}
