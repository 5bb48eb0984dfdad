/** An HTTP request whose response is over. */
export interface FinishedRequest {
  readonly method: string;
  /** The route's template (`/orders/:id`), never the URL; absent when no route matched. */
  readonly route?: string;
  /** The status that was sent; 499 when the client left before there was one. */
  readonly status: number;
  readonly durationMs: number;
}

/** Is told of inbound HTTP requests by the intake. Runs on every request: cheap, and it never throws. */
export interface HttpObserver {
  requestStarted?(): void;
  /** Once for each `requestStarted`. */
  requestFinished(request: FinishedRequest): void;
}
