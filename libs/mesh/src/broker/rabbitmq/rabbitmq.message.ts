import type { Envelope, HeaderFields, MessageBody } from 'rabbitmq-client';
import { PayloadError } from '../broker.errors.js';
import { HEADER, type Headers } from '../transport/message-headers.js';
import { BYTES } from '../transport/payload.codec.js';
import type { OutgoingMessage, WireBody } from '../transport/transport-driver.port.js';

/** Which delivery the next one of this copy is; absent on the first. */
export const ATTEMPT = 'mesh-attempt';
/** Where the dead letter came from, and goes again. */
export const DEAD_QUEUE = 'mesh-dead-queue';
/** What the server itself writes. */
export const DELIVERIES = 'x-delivery-count';
const OF_SERVER = /^x-(?:delivery-count|acquired-count|death|(?:first|last)-death-.*)$/;

/** AMQP's short strings: header names, ids. */
const SHORT_STRING_BYTES = 255;
/** All headers are one frame, and one that is too large would close the channel. Half of a frame: the rest is for what is added later. */
const HEADERS_BYTES = 65_536;

type Received = HeaderFields & { readonly body: MessageBody };

/** What an event has beside its body. */
export function propertiesOf({ id, headers, body }: Pick<OutgoingMessage, 'id' | 'headers' | 'body'>): Envelope {
  const isShort = Buffer.byteLength(id) <= SHORT_STRING_BYTES;
  const envelope = envelopeOf(body, isShort ? headers : { ...headers, [HEADER.id]: id });
  if (isShort) envelope.messageId = id;
  return envelope;
}

/** What a request or an answer has: it is known by its correlation id alone. */
export function envelopeOf({ contentType }: WireBody, headers?: Headers): Envelope {
  const envelope: Envelope = {};
  if (headers) envelope.headers = headers;
  if (contentType !== undefined) envelope.contentType = contentType;
  return envelope;
}

/** The bytes as the client takes them: it would write any other array as JSON. */
export function bytesOf({ data }: WireBody): Buffer {
  return Buffer.isBuffer(data) ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** What of a message's headers goes on with it: not what is written anew for each delivery. */
export function lastingHeaders(headers: Headers): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !OF_SERVER.test(name) && name !== ATTEMPT && name !== HEADER.id),
  );
}

/** Headers of other programs may be of any kind; those of the mesh are strings. */
export function headersOf({ headers }: HeaderFields): Headers {
  const known: Record<string, string> = {};
  for (const name in headers) {
    const value: unknown = headers[name];
    if (typeof value === 'string') known[name] = value;
    else if (typeof value === 'number' || typeof value === 'boolean') known[name] = String(value);
  }
  return known;
}

/** The client has parsed already what other programs mark as JSON or text. */
export function bodyOf({ body, contentType }: Received): WireBody {
  const data = Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body));
  return contentType === BYTES ? { data, contentType } : { data };
}

export function idOf({ messageId, headers }: HeaderFields): string | undefined {
  const own: unknown = headers?.[HEADER.id];
  return typeof own === 'string' ? own : messageId;
}

/**
 * For what callers send. What goes on with a message that arrived has room of its own: refused, it would come again for ever.
 * @throws {PayloadError} for more than a frame takes.
 */
export function assertHeadersFit(headers: Headers = {}): void {
  let bytes = 0;
  for (const name in headers) {
    if (name.length > SHORT_STRING_BYTES)
      throw new PayloadError(`The header "${name.slice(0, 40)}…" has a name of ${name.length} bytes; AMQP takes 255.`);
    bytes += name.length + headers[name]!.length * 3 + 8;
  }
  if (bytes > HEADERS_BYTES)
    throw new PayloadError(`The headers of a message take up to ${bytes} bytes; ${HEADERS_BYTES} are allowed.`);
}
