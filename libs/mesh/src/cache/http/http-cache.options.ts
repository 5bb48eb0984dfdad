import type { IncomingMessage } from 'node:http';

export const HTTP_CACHE_OPTIONS = Symbol('nestjs-mesh.http-cache');

export interface HttpCacheOptions<R = IncomingMessage> {
  /**
   * Whose answers these are. `public`: the same for everybody, even for requests with credentials. `private`: one for each
   * `principal`. Left out: requests with `Authorization`, `Cookie` or `X-Api-Key`, and those that a guard has given a
   * `user`, go past the cache.
   */
  readonly scope?: 'public' | 'private';
  /** Who asks, of the platform's request; needed for `private`. `undefined` goes past the cache. */
  readonly principal?: (request: R) => string | undefined;
  /**
   * How long a response stays fresh, in milliseconds; the response's own `max-age` wins, then `cache.namespaces`.
   * @default the cache's `ttlMs`
   */
  readonly ttlMs?: number;
  /**
   * How long after that it answers while one request renews it, in milliseconds; that one waits for its own answer. Not
   * for responses with `must-revalidate`, `proxy-revalidate` or `s-maxage`. @default 0 @see RFC 5861
   */
  readonly staleWhileRevalidateMs?: number;
  /** How long after that it answers when the handler throws what would be a 5xx, in milliseconds. @default 0 @see RFC 5861 */
  readonly staleIfErrorMs?: number;
  /** Request headers that the response depends on. Responses whose `Vary` names others are not kept. */
  readonly varyBy?: readonly string[];
  /** The query parameters that count; others are ignored. @default all of them */
  readonly query?: readonly string[];
  /** Response headers to keep beside the usual ones. */
  readonly headers?: readonly string[];
  /** Larger bodies are not kept, in bytes. @default 1 MiB */
  readonly maxBodyBytes?: number;
  readonly tags?: readonly string[];
  /** @default 'http' */
  readonly namespace?: string;
}
