import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';
import type { MsgHdrs } from '@nats-io/transport-node';
import type { DeadLetter, DeadLetters } from '../../core/broker.port.js';
import { HEADER, type Headers } from '../transport/message-headers.js';
import { decodePayload } from '../transport/payload.codec.js';
import { bodyOf, headersOf, MESSAGE_ID } from './nats.message.js';

/** Only this group handles the message; the others acknowledge it unseen. Stands on dead letters that are sent again. */
export const ONLY_GROUP = 'mesh-only-group';

const DEAD = {
  handler: 'mesh-dead-handler',
  group: 'mesh-dead-group',
  attempts: 'mesh-dead-attempts',
  error: 'mesh-dead-error',
  failedAt: 'mesh-dead-at',
} as const;
const LIST_LIMIT = 1_000;
const LONGEST_ERROR = 1_000;

/** The headers of a message as a dead letter: its own, and what is to be known about its end. */
export function deadLetterHeaders(own: Headers, letter: DeadLetter & { readonly group?: string }): [string, string][] {
  const { message, handler, attempts, error, failedAt, group } = letter;
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return [
    ...Object.entries(own).filter(([name]) => name !== MESSAGE_ID && name !== ONLY_GROUP),
    [HEADER.id, message.id],
    [DEAD.handler, handler],
    ...(group === undefined ? [] : [[DEAD.group, group] as [string, string]]),
    [DEAD.attempts, String(attempts)],
    [DEAD.error, text.replaceAll(/\s+/g, ' ').slice(0, LONGEST_ERROR)],
    [DEAD.failedAt, String(failedAt)],
  ];
}

interface LetterParts {
  readonly stream: () => string;
  readonly manager: () => Promise<JetStreamManager>;
  readonly publishAgain: (
    data: Uint8Array,
    message: { readonly id: string; readonly headers: MsgHdrs },
  ) => Promise<void>;
}

/** The dead letters of a topic, as its own stream keeps them. */
export function deadLettersOf(topic: string, { stream, manager, publishAgain }: LetterParts): DeadLetters {
  const stored = async function* (): AsyncGenerator<StoredMsg> {
    const { streams } = await manager();
    const info = await streams.info(stream()).catch(absent);
    if (!info) return;
    const { first_seq: first, last_seq: last } = info.state;
    for (let seq = first, found = 0; seq > 0 && seq <= last && found < LIST_LIMIT; seq++) {
      const message = await streams.getMessage(stream(), { seq }).catch(absent);
      if (!message) continue;
      found++;
      yield message;
    }
  };
  const take = async (ids: readonly string[] | undefined, end: (message: StoredMsg) => Promise<void>) => {
    const { streams } = await manager();
    let count = 0;
    for await (const message of stored()) {
      if (ids && !ids.includes(message.header.get(HEADER.id))) continue;
      await end(message);
      await streams.deleteMessage(stream(), message.seq, false);
      count++;
    }
    return count;
  };

  return {
    list: async () => {
      const letters: DeadLetter[] = [];
      for await (const message of stored()) letters.push(letterOf(topic, message));
      return letters;
    },
    redrive: (ids) =>
      take(ids, async ({ data, header, seq }) => {
        const group = header.get(DEAD.group);
        for (const name of Object.values(DEAD)) header.delete(name);
        header.delete(MESSAGE_ID);
        if (group) header.set(ONLY_GROUP, group);
        // Not the id of the message: the server would take it for a repeat.
        await publishAgain(data, { id: `${header.get(HEADER.id)} again ${seq}`, headers: header });
      }),
    discard: (ids) => take(ids, async () => undefined),
  };
}

function letterOf(topic: string, { data, header, time }: StoredMsg): DeadLetter {
  const headers = headersOf(header);
  const attempts = Number(headers[DEAD.attempts]);
  return {
    message: {
      id: headers[HEADER.id] ?? '',
      topic,
      payload: payloadOf(data, headers),
      headers,
      publishedAt: Number(headers[HEADER.sentAt]) || time.getTime(),
      attempt: attempts,
    },
    handler: headers[DEAD.handler] ?? '',
    attempts,
    error: headers[DEAD.error],
    failedAt: Number(headers[DEAD.failedAt]),
  };
}

/** The bytes themselves where they are no payload: perhaps that is why it is dead. */
function payloadOf(data: Uint8Array, headers: Headers): unknown {
  try {
    return decodePayload(bodyOf(data, headers));
  } catch {
    return Buffer.from(data);
  }
}

/** JetStream answers 404 for a stream or a message that is not there. */
function absent(error: unknown): undefined {
  const status = (error as { readonly status?: unknown }).status;
  if (status === 404 || (error as { readonly code?: unknown }).code === 404) return undefined;
  throw error;
}
