import type { DeadLetter, DeadLetters } from '../../core/broker.port.js';
import { isMeshError } from '../../core/mesh.error.js';
import { messageOf } from '../../core/message-of.js';
import { DeadLettersUnreachableError } from '../broker.errors.js';
import { LIST_LIMIT } from './stored-dead-letters.js';

interface JoinedParts {
  readonly topic: string;
  /** Fails while the server was never reached. */
  readonly stored: () => DeadLetters;
  readonly inMemory: DeadLetters;
  readonly awayReason: () => string | undefined;
}

/** The dead letters of one topic in two places: on the server, and in this process's memory. */
export class JoinedDeadLetters implements DeadLetters {
  readonly #parts: JoinedParts;

  constructor(parts: JoinedParts) {
    this.#parts = parts;
  }

  async list(): Promise<readonly DeadLetter[]> {
    const stored = await this.#onServer((letters) => letters.list());
    return [...stored, ...(await this.#parts.inMemory.list())]
      .sort((a, b) => a.failedAt - b.failedAt)
      .slice(0, LIST_LIMIT);
  }

  /** The server first: where it fails nothing has gone, and the caller may try again. */
  async redrive(ids?: readonly string[]): Promise<number> {
    const stored = await this.#onServer((letters) => letters.redrive(ids));
    return stored + (await this.#parts.inMemory.redrive(ids));
  }

  async discard(ids?: readonly string[]): Promise<number> {
    const stored = await this.#onServer((letters) => letters.discard(ids));
    return stored + (await this.#parts.inMemory.discard(ids));
  }

  async #onServer<T>(work: (stored: DeadLetters) => T | Promise<T>): Promise<T> {
    const { topic, stored, awayReason } = this.#parts;
    const reason = awayReason();
    if (reason !== undefined) throw new DeadLettersUnreachableError(topic, reason);
    try {
      return await work(stored());
    } catch (error) {
      throw isMeshError(error)
        ? error
        : new DeadLettersUnreachableError(topic, awayReason() ?? messageOf(error), error);
    }
  }
}
