import type { IncomingHttpHeaders } from 'node:http';

export interface RawRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly remoteAddress: string | undefined;
  /** The body as text; `undefined` when it is longer than `maxBytes`. Absent for GET and HEAD, which have none. */
  readBody?(maxBytes: number): Promise<string | undefined>;
}

export interface RawResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
  /** Makes the answer go on after `body` until the sink is ended. */
  readonly stream?: (sink: RawSink) => void;
}

/** The open end of a streaming answer. */
export interface RawSink {
  write(text: string): void;
  /** What was written and has not left the process yet: a client that does not read lets it grow. */
  readonly bufferedBytes: number;
  end(): void;
  /** Calls back once, when the answer is over, whoever ended it. */
  onClose(callback: () => void): void;
}

/**
 * A route that is answered in the adapter's request hook, ahead of everything of the host: its prefix, versioning,
 * guards, interceptors and throttlers can't break it.
 */
export interface RawRoute {
  /** `ANY`: the route decides about the method itself. */
  readonly method: 'GET' | 'POST' | 'PATCH' | 'ANY';
  /** Absolute, without the host's global prefix. With `/*` at its end it covers everything below, and itself. */
  readonly path: string;
  handle(request: RawRequest): Promise<RawResponse> | RawResponse;
}
