import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';
import type { DeadLetter } from '../../core/broker.port.js';
import { deadLetterHeaders, withoutDeadLetterHeaders } from '../transport/dead-letter-headers.js';
import { HEADER, type Headers } from '../transport/message-headers.js';
import type { LetterStore, StoredLetter } from '../transport/stored-dead-letters.js';
import { bodyOf, DEAD_RECEIVER, headersOf, MESSAGE_ID, ONLY_RECEIVER } from './nats.message.js';

const NOT_FOUND = 404;

/** The headers of a message as a dead letter: its own, and what is to be known about its end. */
export function headersOfLetter(own: Headers, letter: DeadLetter, receiver: string): Headers {
  const { [MESSAGE_ID]: _id, [ONLY_RECEIVER]: _receiver, ...kept } = own;
  return { ...kept, [HEADER.id]: letter.message.id, [DEAD_RECEIVER]: receiver, ...deadLetterHeaders(letter) };
}

interface StoreParts {
  readonly subject: string;
  readonly findStream: (subject: string) => Promise<string | undefined>;
  readonly manager: () => Promise<JetStreamManager>;
  /** Whether the topic has the consumer of this receiver. */
  readonly isThere: (receiver: string) => Promise<boolean>;
  readonly publishAgain: (data: Uint8Array, headers: Headers) => Promise<void>;
}

/** The stream of a topic's dead letters. */
export class JetStreamLetterStore implements LetterStore {
  readonly #parts: StoreParts;

  constructor(parts: StoreParts) {
    this.#parts = parts;
  }

  async visit(limit: number, visit: (letter: StoredLetter) => Promise<'keep' | 'remove'>): Promise<void> {
    const { findStream, manager, subject } = this.#parts;
    const stream = await findStream(subject);
    if (stream === undefined) return;
    const { streams } = await manager();
    const info = await streams.info(stream).catch(absent);
    if (!info) return;
    const { first_seq: first, last_seq: last } = info.state;
    for (let seq = first, left = limit; seq <= last && left > 0; seq++, left--) {
      // The next one from there on. A stream that somebody else made may store more than these letters.
      const query = { seq, next_by_subj: subject };
      const stored = await streams.getMessage(stream, query).catch(absent);
      if (!stored || stored.seq > last) return;
      ({ seq } = stored);
      if ((await visit(this.#letterOf(stored))) === 'remove') await streams.deleteMessage(stream, seq, false);
    }
  }

  #letterOf({ data, header, time, seq }: StoredMsg): StoredLetter {
    const headers = headersOf(header);
    return {
      id: headers[HEADER.id] ?? '',
      publishedAt: time.getTime(),
      headers,
      body: bodyOf(data, headers),
      sendAgain: () => this.#sendAgain(data, headers, seq),
    };
  }

  async #sendAgain(data: Uint8Array, headers: Headers, seq: number): Promise<boolean> {
    const { isThere, publishAgain } = this.#parts;
    const { [DEAD_RECEIVER]: receiver, ...own } = withoutDeadLetterHeaders(headers);
    if (receiver === undefined || !(await isThere(receiver))) return false;
    // Not the id of the message: the server would take it for a repeat.
    const id = `${own[HEADER.id]} again ${seq}`;
    await publishAgain(data, { ...own, [ONLY_RECEIVER]: receiver, [MESSAGE_ID]: id });
    return true;
  }
}

/** JetStream answers 404 for a stream, a consumer or a message that is not there. */
export function absent(error: unknown): undefined {
  const { status, code } = error as { readonly status?: unknown; readonly code?: unknown };
  if (status !== NOT_FOUND && code !== NOT_FOUND) throw error;
}
