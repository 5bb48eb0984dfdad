import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';

const NAME = 'x-correlation-id';

const ID = Symbol('nestjs-mesh correlation id');

type WriteHead = (this: ServerResponse, status: number, reason?: unknown, headers?: unknown) => ServerResponse;
type Identified = ServerResponse & { [ID]?: string };

/**
 * Puts the correlation id on the answer, whoever writes it; one that the host sets itself wins. The header joins the
 * others at the last moment: set any earlier, it would make Node take apart again what Fastify hands over in one piece,
 * for a tenth of the cost of a request.
 */
export function identify(response: ServerResponse, correlationId: string): void {
  (response as Identified)[ID] = correlationId;
  // Every way to answer ends in this method; packages for compression and sessions stand in it in the same way.
  response.writeHead = writeHead as ServerResponse['writeHead'];
}

/** One function for all responses: a closure for each would be a tenth of the garbage that a request leaves. */
const writeHead: WriteHead = function (this: Identified, status, reason, headers) {
  const { writeHead: original } = Object.getPrototypeOf(this) as { readonly writeHead: WriteHead };
  const given = headers ?? reason;
  if (this.hasHeader(NAME)) return original.call(this, status, reason, headers);
  if (!isPlain(given) || announcesStream(given)) {
    this.setHeader(NAME, this[ID]!);
    return original.call(this, status, reason, headers);
  }
  const identified = withId(given, this[ID]!);
  return given === reason ? original.call(this, status, identified) : original.call(this, status, reason, identified);
};

function isPlain(headers: unknown): headers is OutgoingHttpHeaders {
  return typeof headers === 'object' && headers !== null && !Array.isArray(headers);
}

/** Its headers stay readable only when one of them was set before: by them the drain knows the stream. */
function announcesStream(headers: OutgoingHttpHeaders): boolean {
  const type = headers['content-type'] ?? headers['Content-Type'];
  return typeof type === 'string' && type.startsWith('text/event-stream');
}

function withId(headers: OutgoingHttpHeaders, correlationId: string): OutgoingHttpHeaders {
  for (const name in headers) if (name.length === NAME.length && name.toLowerCase() === NAME) return headers;
  return { ...headers, [NAME]: correlationId };
}
