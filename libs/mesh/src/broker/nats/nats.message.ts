import type { MsgHdrs } from '@nats-io/transport-node';
import type { Headers } from '../transport/message-headers.js';
import type { WireBody } from '../transport/transport-driver.port.js';

/** JetStream's own name: a repeat of the same id within its window is not stored again. */
export const MESSAGE_ID = 'Nats-Msg-Id';
export const CONTENT_TYPE = 'content-type';
/** Only this group, or this subscription that shares with nobody, handles the message. Stands on dead letters that are sent again. */
export const ONLY_RECEIVER = 'mesh-only-group';
/** Which of them gave the dead letter up. */
export const DEAD_RECEIVER = 'mesh-dead-group';

const NONE: Headers = Object.freeze({});

/** The headers as plain values, the first where there are several. */
export function headersOf(headers: MsgHdrs | undefined): Headers {
  if (!headers) return NONE;
  const known: Record<string, string> = {};
  for (const [name, values] of headers) known[name] = values[0]!;
  return known;
}

export function bodyOf(data: Uint8Array, headers: Headers): WireBody {
  const contentType = headers[CONTENT_TYPE];
  return contentType === undefined ? { data } : { data, contentType };
}

/**
 * Headers as the client takes them, already written: its own keep every value in a list in a map, to write it once. All
 * that `publish` asks of them is `encode`.
 */
export function writtenHeaders(headers: Headers, contentType: string | undefined): MsgHdrs {
  let text = 'NATS/1.0\r\n';
  for (const name in headers) text += `${name}: ${headers[name]}\r\n`;
  if (contentType !== undefined) text += `${CONTENT_TYPE}: ${contentType}\r\n`;
  const written = { encode: () => Buffer.from(`${text}\r\n`) };
  return written as unknown as MsgHdrs;
}
