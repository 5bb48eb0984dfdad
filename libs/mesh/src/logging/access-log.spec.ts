import { describe, expect, it } from 'vitest';
import { fixedOptions } from '../core/live-options.js';
import { AccessLog } from './access-log.js';
import { loggingSchema } from './logging.options.js';
import { MemorySink } from './logging.fixture.js';

const finished = { method: 'GET', route: '/orders/:id', status: 200, durationMs: 12.345 };

function setup(options = {}) {
  const sink = new MemorySink();
  return { log: new AccessLog(sink, fixedOptions(loggingSchema.parse(options))), lines: sink.lines };
}

describe('AccessLog', () => {
  it('writes a line for each request, errors from status 500', () => {
    const { log, lines } = setup();
    log.requestFinished(finished);
    log.requestFinished({ method: 'POST', status: 503, durationMs: 1 });
    expect(lines).toEqual([
      {
        level: 'info',
        message: 'GET /orders/:id 200 in 12.3 ms',
        fields: { event: 'http.request', method: 'GET', route: '/orders/:id', status: 200, durationMs: 12.3 },
      },
      {
        level: 'error',
        message: 'POST unmatched 503 in 1 ms',
        fields: { event: 'http.request', method: 'POST', route: 'unmatched', status: 503, durationMs: 1 },
      },
    ]);
  });

  it('is silent when switched off', () => {
    const { log, lines } = setup({ accessLog: false });
    log.requestFinished(finished);
    expect(lines).toEqual([]);
  });
});
