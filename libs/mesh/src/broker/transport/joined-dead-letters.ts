import type { DeadLetter, DeadLetters } from '../../core/broker.port.js';
import { LIST_LIMIT } from './stored-dead-letters.js';

/** The dead letters of one topic in two places: on the server, and in this process's memory. */
export class JoinedDeadLetters implements DeadLetters {
  readonly #stored: DeadLetters;
  readonly #inMemory: DeadLetters;

  constructor(stored: DeadLetters, inMemory: DeadLetters) {
    this.#stored = stored;
    this.#inMemory = inMemory;
  }

  async list(): Promise<readonly DeadLetter[]> {
    const letters = [...(await this.#stored.list()), ...(await this.#inMemory.list())];
    return letters.sort((a, b) => a.failedAt - b.failedAt).slice(0, LIST_LIMIT);
  }

  /** The server first: where it fails nothing has gone, and the caller may try again. */
  async redrive(ids?: readonly string[]): Promise<number> {
    return (await this.#stored.redrive(ids)) + (await this.#inMemory.redrive(ids));
  }

  async discard(ids?: readonly string[]): Promise<number> {
    return (await this.#stored.discard(ids)) + (await this.#inMemory.discard(ids));
  }
}
