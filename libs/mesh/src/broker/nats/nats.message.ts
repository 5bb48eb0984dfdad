import type { Headers } from '../transport/message-headers.js';
import type { WireBody } from '../transport/transport-driver.port.js';

/** JetStream's own name: a repeat of the same id within its window is not stored again. */
export const MESSAGE_ID = 'Nats-Msg-Id';
export const CONTENT_TYPE = 'content-type';
/** Marks an answer whose body is the wire form of an error. */
export const ERROR = 'mesh-error';

interface NatsHeaders {
  keys(): string[];
  get(name: string): string;
}

export function headersOf(headers: NatsHeaders | undefined): Headers {
  const known: Record<string, string> = {};
  if (headers) for (const name of headers.keys()) known[name] = headers.get(name);
  return known;
}

export function bodyOf(data: Uint8Array, headers: NatsHeaders | undefined): WireBody {
  const contentType = headers?.get(CONTENT_TYPE);
  return contentType ? { data, contentType } : { data };
}
