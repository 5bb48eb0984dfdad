import type { DeadLetter, DeadLetters, Message } from '../../core/broker.port.js';
import { PublishUnconfirmedError } from '../broker.errors.js';
import { deadLetterOf } from './dead-letter-headers.js';
import type { Headers } from './message-headers.js';
import type { WireBody } from './transport-driver.port.js';

/** How many dead letters are listed at most. */
export const LIST_LIMIT = 1_000;

/** A dead letter as its server keeps it. */
export interface StoredLetter extends Pick<Message, 'id' | 'publishedAt'> {
  readonly headers: Headers;
  readonly body: WireBody;
  /**
   * To the subscription that gave it up, and to no other. Resolves when it is stored there; to `false` when there is no such
   * subscription any more.
   */
  sendAgain(): Promise<boolean>;
}

/** Where a server keeps the dead letters of one topic. */
export interface LetterStore {
  /**
   * Visits the letters that are there now, from the oldest on, at most `limit`. Those for which `visit` says `remove` are
   * taken away after it: a crash in between leaves one there, and loses none.
   */
  visit(limit: number, visit: (letter: StoredLetter) => Promise<'keep' | 'remove'>): Promise<void>;
}

/** The dead letters of a topic, as its server keeps them. */
export class StoredDeadLetters implements DeadLetters {
  readonly #topic: string;
  readonly #store: LetterStore;

  constructor(topic: string, store: LetterStore) {
    this.#topic = topic;
    this.#store = store;
  }

  async list(): Promise<readonly DeadLetter[]> {
    const letters: DeadLetter[] = [];
    await this.#store.visit(LIST_LIMIT, async ({ id, publishedAt, headers, body }) => {
      letters.push(deadLetterOf({ id, topic: this.#topic, publishedAt }, headers, body));
      return 'keep';
    });
    return letters;
  }

  redrive(ids?: readonly string[]): Promise<number> {
    return this.#remove(ids, (letter) => letter.sendAgain().catch(ofUnsent));
  }

  discard(ids?: readonly string[]): Promise<number> {
    return this.#remove(ids, async () => true);
  }

  /** One that does not end stays, and those behind it are visited all the same. */
  async #remove(ids: readonly string[] | undefined, end: (letter: StoredLetter) => Promise<boolean>): Promise<number> {
    const wanted = ids && new Set(ids);
    let count = 0;
    await this.#store.visit(Number.POSITIVE_INFINITY, async (letter) => {
      if ((wanted && !wanted.has(letter.id)) || !(await end(letter))) return 'keep';
      count++;
      return 'remove';
    });
    return count;
  }
}

/** What the server certainly did not take can stay where it is. */
function ofUnsent(error: unknown): false {
  if (error instanceof PublishUnconfirmedError && !error.sent) return false;
  throw error;
}
