import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';
import type { MsgHdrs } from '@nats-io/transport-node';
import type { DeadLetter, DeadLetters } from '../../core/broker.port.js';
import { deadLetterHeaders, deadLetterOf, withoutDeadLetterHeaders } from '../transport/dead-letter-headers.js';
import { HEADER, type Headers } from '../transport/message-headers.js';
import { bodyOf, headersOf, MESSAGE_ID, writtenHeaders } from './nats.message.js';

/** Only this group handles the message; the others acknowledge it unseen. Stands on dead letters that are sent again. */
export const ONLY_GROUP = 'mesh-only-group';
const DEAD_GROUP = 'mesh-dead-group';
const LIST_LIMIT = 1_000;
const NOT_FOUND = 404;

/** The headers of a message as a dead letter: its own, and what is to be known about its end. */
export function headersOfLetter(own: Headers, letter: DeadLetter, group: string | false): Headers {
  const { [MESSAGE_ID]: _id, [ONLY_GROUP]: _group, ...kept } = own;
  return {
    ...kept,
    [HEADER.id]: letter.message.id,
    ...(group !== false && { [DEAD_GROUP]: group }),
    ...deadLetterHeaders(letter),
  };
}

interface LetterParts {
  readonly subject: string;
  readonly findStream: (subject: string) => Promise<string | undefined>;
  readonly manager: () => Promise<JetStreamManager>;
  readonly publishAgain: (data: Uint8Array, headers: MsgHdrs) => Promise<void>;
}

/** The dead letters of a topic, as its own stream keeps them. */
export class JetStreamDeadLetters implements DeadLetters {
  readonly #topic: string;
  readonly #parts: LetterParts;

  constructor(topic: string, parts: LetterParts) {
    this.#topic = topic;
    this.#parts = parts;
  }

  async list(): Promise<readonly DeadLetter[]> {
    const letters: DeadLetter[] = [];
    const stream = await this.#parts.findStream(this.#parts.subject);
    for await (const stored of this.#stored(stream)) letters.push(this.#letterOf(stored));
    return letters;
  }

  redrive(ids?: readonly string[]): Promise<number> {
    return this.#take(ids, async ({ data, header, seq }) => {
      const { [DEAD_GROUP]: group, [MESSAGE_ID]: _id, ...own } = headersOf(header);
      const headers = { ...withoutDeadLetterHeaders(own), ...(group !== undefined && { [ONLY_GROUP]: group }) };
      // Not the id of the message: the server would take it for a repeat.
      const id = `${own[HEADER.id]} again ${seq}`;
      await this.#parts.publishAgain(data, writtenHeaders({ ...headers, [MESSAGE_ID]: id }, undefined));
    });
  }

  discard(ids?: readonly string[]): Promise<number> {
    return this.#take(ids, async () => undefined);
  }

  /** Ends the letters, then takes them away: a crash in between sends one twice, and loses none. */
  async #take(ids: readonly string[] | undefined, end: (stored: StoredMsg) => Promise<void>): Promise<number> {
    const { streams } = await this.#parts.manager();
    let count = 0;
    const stream = await this.#parts.findStream(this.#parts.subject);
    for await (const stored of this.#stored(stream)) {
      if (ids && !ids.includes(stored.header.get(HEADER.id))) continue;
      await end(stored);
      await streams.deleteMessage(stream!, stored.seq, false);
      count++;
    }
    return count;
  }

  async *#stored(stream: string | undefined): AsyncGenerator<StoredMsg> {
    if (stream === undefined) return;
    const { streams } = await this.#parts.manager();
    const info = await streams.info(stream).catch(absent);
    if (!info) return;
    const { first_seq: first, last_seq: last } = info.state;
    for (let seq = first, found = 0; seq > 0 && seq <= last && found < LIST_LIMIT; seq++) {
      const stored = await streams.getMessage(stream, { seq }).catch(absent);
      // A stream that somebody else made may store more than these letters.
      if (stored?.subject !== this.#parts.subject) continue;
      found++;
      yield stored;
    }
  }

  #letterOf({ data, header, time }: StoredMsg): DeadLetter {
    const headers = headersOf(header);
    const message = { id: headers[HEADER.id] ?? '', topic: this.#topic, publishedAt: time.getTime() };
    return deadLetterOf(message, headers, bodyOf(data, headers));
  }
}

/** JetStream answers 404 for a stream or a message that is not there. */
function absent(error: unknown): undefined {
  const { status, code } = error as { readonly status?: unknown; readonly code?: unknown };
  if (status !== NOT_FOUND && code !== NOT_FOUND) throw error;
}
