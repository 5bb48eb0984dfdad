import type { ServerResponse } from 'node:http';

/** The client's wait before it connects again, to whichever instance then serves. */
const RETRY_MS = 1_000;

/**
 * Whether the response is a server-sent event stream that has begun. Such a stream never ends by itself, and its client
 * comes back by itself. A stream that answers a POST is finite work and is left to finish.
 */
export function isOpenEventStream(response: ServerResponse): boolean {
  if (response.req.method !== 'GET' || !response.headersSent || response.writableEnded) return false;
  const contentType = response.getHeader('content-type');
  // Headers that were handed straight to writeHead can't be read back; then the request has to tell.
  const type = contentType === undefined ? response.req.headers.accept : String(contentType);
  return type?.includes('text/event-stream') ?? false;
}

export function endEventStream(response: ServerResponse): void {
  // Whoever writes to the stream learns of its end a turn later; a write until then must not bring the process down.
  response.on('error', () => undefined);
  response.end(`retry: ${RETRY_MS}\n\n`);
}
