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
 * The last token of the subject that a request is answered on: its id, and how long its sender waits. There it costs
 * nothing, where a message with a first header takes the clients and the server a fifth longer than one without.
 */
export function replyToken(id: string, timeoutMs: number): string {
  return `${id}:${timeoutMs}`;
}

/** What {@link replyToken} wrote; an inbox of other programs has no time in it. */
export function fromReplyToken(token: string): { readonly id: string; readonly timeoutMs?: number } {
  const end = token.lastIndexOf(':');
  const timeoutMs = end < 0 ? Number.NaN : Number(token.slice(end + 1));
  return Number.isNaN(timeoutMs) ? { id: token } : { id: token.slice(0, end), timeoutMs };
}

/** How many bytes they take on the wire. */
export function bytesOf(headers: Headers): number {
  let bytes = 0;
  for (const name in headers) bytes += name.length + Buffer.byteLength(headers[name]!) + ': \r\n'.length;
  return bytes;
}

/**
 * Headers as the client takes them, already written: its own keep every value in a list in a map, to write it once. All
 * that `publish` asks of them is `encode`. Where there are none the message goes without.
 */
export function withHeaders(headers: Headers, contentType: string | undefined): { readonly headers?: MsgHdrs } {
  let lines = '';
  for (const name in headers) lines += `${name}: ${headers[name]}\r\n`;
  if (contentType !== undefined) lines += `${CONTENT_TYPE}: ${contentType}\r\n`;
  // A new one: the client writes into it.
  if (lines === '') return {};
  const written = { encode: () => Buffer.from(`NATS/1.0\r\n${lines}\r\n`) };
  return { headers: written as unknown as MsgHdrs };
}
