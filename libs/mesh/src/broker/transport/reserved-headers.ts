import { DEAD } from './dead-letter-headers.js';
import { HEADER, type Headers } from './message-headers.js';

/** Marks an answer whose body is the wire form of an error. */
export const ERROR = 'mesh-error';

/** Names that adapters give a meaning of their own. */
export const RESERVED: readonly string[] = [ERROR, HEADER.id, ...Object.values(DEAD)];

/** The headers without `reserved` ones: whoever passes on what it received does not mean those. */
export function withoutReserved(headers: Headers, reserved: ReadonlySet<string>): Headers {
  for (const name in headers)
    if (reserved.has(name)) return Object.fromEntries(Object.entries(headers).filter(([key]) => !reserved.has(key)));
  return headers;
}
