import { describe, expect, it } from 'vitest';
import { fixedOptions } from '../core/live-options.js';
import { AccessLog } from './access-log.js';
import { loggingSchema } from './logging.options.js';
import { MemorySink } from './logging.fixture.js';

const CONTEXT = {
  correlationId: 'order-42',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
};
const finished = { method: 'GET', route: '/orders/:id', status: 200, durationMs: 12.345 };

function setup(options = {}) {
  const sink = new MemorySink();
  return { log: new AccessLog(sink, fixedOptions(loggingSchema.parse(options))), lines: sink.lines };
}

describe('AccessLog', () => {
  it('writes a line with the call of each request, errors from status 500', () => {
    const { log, lines } = setup();
    log.requestFinished(finished, CONTEXT);
    log.requestFinished({ method: 'POST', route: undefined, status: 503, durationMs: 1 }, { correlationId: 'c0ffee' });
    expect(lines).toEqual([
      {
        level: 'info',
        message: 'GET /orders/:id 200 in 12.3 ms',
        fields: {
          correlationId: 'order-42',
          traceId: '0af7651916cd43dd8448eb211c80319c',
          spanId: 'b7ad6b7169203331',
          event: 'http.request',
          method: 'GET',
          route: '/orders/:id',
          status: 200,
          durationMs: 12.3,
        },
      },
      {
        level: 'error',
        message: 'POST unmatched 503 in 1 ms',
        fields: {
          correlationId: 'c0ffee',
          traceId: expect.any(String),
          event: 'http.request',
          method: 'POST',
          route: 'unmatched',
          status: 503,
          durationMs: 1,
        },
      },
    ]);
  });

  it('is silent when switched off', () => {
    const { log, lines } = setup({ accessLog: false });
    log.requestFinished(finished, CONTEXT);
    expect(lines).toEqual([]);
  });
});
