import type { DeadLetter, Message } from '../../core/broker.port.js';
import { HEADER, type Headers } from './message-headers.js';
import { decodePayload } from './payload.codec.js';
import type { WireBody } from './transport-driver.port.js';

export const DEAD = {
  handler: 'mesh-dead-handler',
  attempts: 'mesh-dead-attempts',
  error: 'mesh-dead-error',
  failedAt: 'mesh-dead-at',
} as const;
const LONGEST_ERROR = 1_000;

/** What is to be known about the end of a message, beside its own headers. */
export function deadLetterHeaders({ handler, attempts, error, failedAt }: DeadLetter): Record<string, string> {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return {
    [DEAD.handler]: handler,
    [DEAD.attempts]: String(attempts),
    [DEAD.error]: text.replaceAll(/\s+/g, ' ').slice(0, LONGEST_ERROR),
    [DEAD.failedAt]: String(failedAt),
  };
}

/** The headers as they were when the message was alive. */
export function withoutDeadLetterHeaders(headers: Headers): Headers {
  const names: readonly string[] = Object.values(DEAD);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)));
}

/** A dead letter as it was stored. */
export function deadLetterOf(
  message: Pick<Message, 'id' | 'topic' | 'publishedAt'>,
  headers: Headers,
  body: WireBody,
): DeadLetter {
  const attempts = Number(headers[DEAD.attempts]) || 1;
  const sentAt = Number(headers[HEADER.sentAt]) || message.publishedAt;
  return {
    message: { ...message, payload: payloadOf(body), headers, publishedAt: sentAt, attempt: attempts },
    handler: headers[DEAD.handler] ?? '',
    attempts,
    error: headers[DEAD.error],
    failedAt: Number(headers[DEAD.failedAt]) || sentAt,
  };
}

/** The bytes themselves where they are no payload: perhaps that is why it is dead. */
function payloadOf(body: WireBody): unknown {
  try {
    return decodePayload(body);
  } catch {
    return Buffer.from(body.data);
  }
}
