import type { CallContext } from '../core/call-context.js';
import type { FinishedRequest, HttpObserver } from '../core/http-observer.port.js';
import type { LiveOptions } from '../core/live-options.js';
import { logFieldsOf } from './call-log-fields.js';
import type { LogSink } from './log-sink.js';
import type { LoggingOptions } from './logging.options.js';

/** One line a finished HTTP request: the route's template, never the URL, which may carry what nobody should read. */
export class AccessLog implements HttpObserver {
  readonly #sink: LogSink;
  readonly #options: LiveOptions<LoggingOptions>;

  constructor(sink: LogSink, options: LiveOptions<LoggingOptions>) {
    this.#sink = sink;
    this.#options = options;
  }

  requestFinished(
    { method, route = 'unmatched', status, durationMs, failure }: FinishedRequest,
    context: CallContext,
  ): void {
    if (!this.#options.current.accessLog) return;
    const rounded = Math.round(durationMs * 10) / 10;
    const said = `${method} ${route} ${status} in ${rounded} ms`;
    this.#sink.write(
      status >= 500 ? 'error' : 'info',
      {
        ...logFieldsOf(context),
        event: 'http.request',
        method,
        route,
        status,
        durationMs: rounded,
        ...(failure && { code: failure.code, reason: failure.message }),
      },
      failure ? `${said}: ${failure.code}` : said,
    );
  }
}
