import type { IncomingHttpHeaders } from 'node:http';

export interface RawRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly remoteAddress: string | undefined;
}

export interface RawResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * A route that is answered in the adapter's request hook, ahead of everything of the host: its prefix, versioning,
 * guards, interceptors and throttlers can't break it.
 */
export interface RawRoute {
  readonly method: 'GET' | 'POST' | 'PATCH';
  /** Absolute, without the host's global prefix. */
  readonly path: string;
  handle(request: RawRequest): Promise<RawResponse> | RawResponse;
}
