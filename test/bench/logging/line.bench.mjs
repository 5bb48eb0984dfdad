// What a line costs: ours with service, call context and redaction against nestjs-pino's way with the same fields.
// npm run build:lib && npm run bench -- logging
import { AsyncLocalStorage } from 'node:async_hooks';
import { pino } from 'pino';
import { pinoHttp } from 'pino-http';
import { goal, load, print, race, rowOf } from '../harness.js';

const { PinoLog } = await load('logging/pino.adapter.js');
const { AccessLog } = await load('logging/access-log.js');
const { CallContexts } = await load('core/call-context.js');
const { SystemClock } = await load('core/clock.js');
const { ServiceInfo } = await load('core/service-info.js');
const { fixedOptions } = await load('core/live-options.js');

const nowhere = { write: () => undefined };
const contexts = new CallContexts();
const options = fixedOptions({ level: 'info', repeatWindowMs: 0, redact: [], adoptNestLogger: false, accessLog: true });
const service = new ServiceInfo('shop', 'shop-1');
const log = new PinoLog({ options, service, contexts, clock: new SystemClock(), destination: nowhere });
const access = new AccessLog(log, options);
const context = { correlationId: 'c0ffee', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' };
const request = { method: 'GET', route: '/orders/:id', status: 200, durationMs: 12.3 };

const bare = pino({ base: { service: 'shop', instance: 'shop-1' } }, nowhere);
const redacting = pino(
  {
    base: { service: 'shop', instance: 'shop-1' },
    redact: ['req.headers.authorization', 'req.headers.cookie', '*.password', '*.token', '*.secret'],
  },
  nowhere,
);

/** What nestjs-pino does for a request: a child logger, a context, and a line with request and response at the end. */
const storage = new AsyncLocalStorage();
const middleware = pinoHttp({ redact: ['req.headers.authorization', 'req.headers.cookie'] }, nowhere);
const req = () => ({
  id: 1,
  method: 'GET',
  url: '/orders/42',
  headers: { host: 'localhost', accept: '*/*' },
  socket: {},
});
function response() {
  const listeners = new Map();
  return {
    statusCode: 200,
    headersSent: true,
    writableEnded: true,
    getHeaders: () => ({ 'content-type': 'application/json' }),
    on: (name, listener) => listeners.set(name, listener),
    removeListener: () => undefined,
    emit(name) {
      listeners.get(name)?.call(this);
    },
  };
}

const rows = await race([
  {
    name: 'pino, a line with 4 fields',
    run: (n) => {
      for (let i = 0; i < n; i++) bare.info({ event: 'x', ...request }, 'm');
    },
  },
  {
    name: 'pino with 5 redacted paths',
    run: (n) => {
      for (let i = 0; i < n; i++) redacting.info({ event: 'x', ...request }, 'm');
    },
  },
  {
    name: 'nestjs-mesh, the same line in a call',
    run: (n) =>
      contexts.run(context, () => {
        for (let i = 0; i < n; i++) log.write('info', { event: 'x', ...request }, 'm');
      }),
  },
  {
    name: 'nestjs-mesh access log',
    run: (n) =>
      contexts.run(context, () => {
        for (let i = 0; i < n; i++) access.requestFinished(request, context);
      }),
  },
  {
    name: 'pino-http, as nestjs-pino runs it',
    run: (n) => {
      for (let i = 0; i < n; i++) {
        const incoming = req();
        const outgoing = response();
        middleware(incoming, outgoing, () => storage.run(incoming.log, () => undefined));
        outgoing.emit('finish');
      }
    },
  },
]);
print('One line (ratio to pino alone)', rows);
goal(
  'the access log against pino-http',
  rowOf(rows, 'nestjs-mesh access log').ns / rowOf(rows, 'pino-http, as nestjs-pino runs it').ns,
  1.1,
  ' x',
);
