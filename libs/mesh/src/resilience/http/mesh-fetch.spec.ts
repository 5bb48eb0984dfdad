import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ResilienceFixture } from '../../../../../test/resilience/resilience.fixture.js';
import { MeshFetch } from './mesh-fetch.js';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

let fixture: ResilienceFixture;
let server: Server;
let url: string;
let requests: { method: string; headers: IncomingMessage['headers']; body: string }[];
let handle: Handler;
let meshFetch: MeshFetch;

beforeEach(async () => {
  requests = [];
  handle = (_request, response) => response.end('ok');
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      requests.push({ method: request.method!, headers: request.headers, body: Buffer.concat(chunks).toString() });
      handle(request, response);
    });
  });
  url = await listen(server);
  fixture = new ResilienceFixture({
    policies: {
      upstream: {
        timeoutMs: 500,
        retry: { maxRetries: 2, delayMs: 1, jitter: 'none' },
        circuitBreaker: { failureRatio: 1, minimumCalls: 3 },
      },
      once: { retry: false, timeoutMs: false, totalTimeoutMs: false },
    },
  });
  meshFetch = new MeshFetch(fixture.manager, fixture);
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await fixture.close();
});

async function listen(on: Server): Promise<string> {
  await new Promise<void>((resolve) => on.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(on.address() as AddressInfo).port}`;
}

/** Lets the policy's time pass, a millisecond a turn, until the call is over. */
async function over<T>(call: Promise<T>): Promise<T> {
  const state = { settled: false };
  const done = (): void => void (state.settled = true);
  call.then(done, done);
  while (!state.settled) await fixture.clock.advance(1);
  return call;
}

/** Answers with each status in turn, then with 200. */
function statuses(...list: number[]): Handler {
  return (_request, response) => {
    response.statusCode = list.shift() ?? 200;
    response.end(`status ${response.statusCode}`);
  };
}

const breaker = () => fixture.manager.breaker('upstream', new URL(url).host).snapshot();

describe('mesh fetch', () => {
  it('answers as fetch does', async () => {
    const response = await over(meshFetch.fetch('upstream', `${url}/items?page=1`));
    expect([response.status, await response.text()]).toEqual([200, 'ok']);
  });

  it.each([503, 500, 408, 429])('repeats an idempotent request that was answered with %i', async (status) => {
    handle = statuses(status, status);
    const response = await over(meshFetch.fetch('upstream', url));
    expect([response.status, await response.text(), requests.length]).toEqual([200, 'status 200', 3]);
    expect(breaker()).toMatchObject({ calls: 3, failures: 2 });
  });

  it.each([200, 304, 400, 404])('takes %i for an answer, not for a failure', async (status) => {
    handle = statuses(status);
    expect((await over(meshFetch.fetch('upstream', url))).status).toBe(status);
    expect(breaker()).toMatchObject({ calls: 1, failures: 0 });
  });

  it('gives the last answer to the caller when the retries are used up', async () => {
    handle = statuses(503, 502, 500);
    const response = await over(meshFetch.fetch('upstream', url));
    expect([response.status, await response.text()]).toEqual([500, 'status 500']);
  });

  it.each(['POST', 'PATCH'])('sends a %s once, because it may have had an effect', async (method) => {
    handle = statuses(503);
    const response = await over(meshFetch.fetch('upstream', url, { method, body: 'x' }));
    expect([response.status, requests.length]).toEqual([503, 1]);
  });

  it('repeats a POST that is declared idempotent, with its body', async () => {
    handle = statuses(503);
    await over(meshFetch.fetch('upstream', url, { method: 'POST', body: 'order', idempotent: true }));
    expect(requests.map(({ method, body }) => [method, body])).toEqual([
      ['POST', 'order'],
      ['POST', 'order'],
    ]);
  });

  it('repeats a Request object, with its body', async () => {
    handle = statuses(503);
    const request = new Request(url, { method: 'PUT', body: 'order', headers: { 'x-own': '1' } });
    await over(meshFetch.fetch('upstream', request));
    expect(requests.map(({ body, headers }) => [body, headers['x-own']])).toEqual([
      ['order', '1'],
      ['order', '1'],
    ]);
  });

  it('sends a stream once only', async () => {
    handle = statuses(503);
    const body = new Blob(['order']).stream();
    const init = { method: 'PUT', body, duplex: 'half' } as RequestInit;
    expect((await over(meshFetch.fetch('upstream', url, init))).status).toBe(503);
    expect(requests.length).toBe(1);
  });

  it('waits as long as Retry-After asks', async () => {
    handle = (_request, response) => {
      if (requests.length === 1) response.writeHead(503, { 'Retry-After': '2' });
      response.end('ok');
    };
    const before = fixture.clock.monotonic();
    await over(meshFetch.fetch('upstream', url));
    expect(fixture.clock.monotonic() - before).toBeGreaterThanOrEqual(2_000);
  });

  it('does not repeat what the upstream says it has retried itself', async () => {
    handle = (_request, response) => void response.writeHead(503, { 'Mesh-Retryable': 'false' }).end();
    expect((await over(meshFetch.fetch('upstream', url))).status).toBe(503);
    expect([requests.length, breaker().failures]).toEqual([1, 1]);
  });

  it('repeats any request whose connection was refused', async () => {
    const closed = createServer();
    const nowhere = await listen(closed);
    await new Promise((resolve) => closed.close(resolve));
    const call = over(meshFetch.fetch('upstream', nowhere, { method: 'POST', body: 'x' }));
    await expect(call).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
    expect(fixture.manager.breaker('upstream', new URL(nowhere).host).snapshot().calls).toBe(3);
  });

  it('keeps one breaker a host, and refuses the host whose circuit is open', async () => {
    const well = createServer((_request, response) => response.end('well'));
    const other = await listen(well);
    handle = statuses(503, 503, 503);
    await over(meshFetch.fetch('upstream', url));
    await expect(meshFetch.fetch('upstream', url)).rejects.toMatchObject({ code: 'MESH_CIRCUIT_OPEN' });
    expect((await over(meshFetch.fetch('upstream', other))).status).toBe(200);
    well.closeAllConnections();
    await new Promise((resolve) => well.close(resolve));
  });

  it('gives up on an upstream that hangs, and aborts the request', async () => {
    let closed = 0;
    handle = (_request, response) => void response.on('close', () => closed++);
    const call = over(meshFetch.fetch('upstream', url, { method: 'POST' }));
    await expect(call).rejects.toMatchObject({ code: 'MESH_ATTEMPT_TIMEOUT' });
    await vi.waitFor(() => expect(closed).toBe(1));
  });

  it("ends with the caller's signal, before and while the body is read", async () => {
    handle = (_request, response) => void response.write('part');
    const early = AbortSignal.abort(new Error('gone'));
    await expect(meshFetch.fetch('once', url, { signal: early })).rejects.toMatchObject({ code: 'MESH_CANCELLED' });
    const caller = new AbortController();
    const response = await over(meshFetch.fetch('once', url, { signal: caller.signal }));
    const body = expect(response.text()).rejects.toThrow('gone');
    caller.abort(new Error('gone'));
    await body;
  });

  it('frees the connections of answers that nobody reads', async () => {
    let closed = 0;
    handle = (_request, response) => {
      if (requests.length === 3) return void response.end('ok');
      // An answer that never ends, so that its connection can't be used again.
      response.writeHead(503).write('part');
      response.on('close', () => closed++);
    };
    await (await over(meshFetch.fetch('upstream', url))).text();
    await vi.waitFor(() => expect(closed).toBe(2));
  });

  it('refuses what is not an absolute URL', async () => {
    await expect(meshFetch.fetch('upstream', '/items')).rejects.toThrow(
      'Policy "upstream" can\'t fetch "/items": it needs an absolute URL.',
    );
  });

  it('refuses a policy that nobody knows', async () => {
    await expect(meshFetch.fetch('upstrem', url)).rejects.toMatchObject({ code: 'MESH_CONFIG_INVALID' });
  });
});

describe('what mesh fetch tells the callee', () => {
  const context = {
    correlationId: 'abc',
    traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`,
    tracestate: 'vendor=1',
  };

  it('is the trace, the correlation id and the time left', async () => {
    const { clock, contexts } = fixture;
    await contexts.run({ ...context, deadlineAt: clock.now() + 300 }, () => over(meshFetch.fetch('upstream', url)));
    expect(requests[0]!.headers).toMatchObject({
      traceparent: context.traceparent,
      tracestate: 'vendor=1',
      'x-correlation-id': 'abc',
      'x-mesh-timeout-ms': '300',
    });
  });

  it('is the time of the attempt when that ends first', async () => {
    await over(meshFetch.fetch('upstream', url));
    expect(requests[0]!.headers['x-mesh-timeout-ms']).toBe('500');
  });

  it('is no time when there is no limit', async () => {
    await over(meshFetch.fetch('once', url));
    expect(requests[0]!.headers).not.toHaveProperty('x-mesh-timeout-ms');
  });

  it('is what the caller says, where the caller says it', async () => {
    const traceparent = `00-${'3'.repeat(32)}-${'4'.repeat(16)}-00`;
    const headers = { traceparent, 'x-correlation-id': 'own' };
    await fixture.contexts.run(context, () => over(meshFetch.fetch('upstream', url, { headers })));
    expect(requests[0]!.headers).toMatchObject({ traceparent, 'x-correlation-id': 'own' });
    expect(requests[0]!.headers).not.toHaveProperty('tracestate');
  });

  it('is nothing for strangers', async () => {
    const init = { propagate: false, headers: { 'x-own': '1' } };
    await fixture.contexts.run(context, () => over(meshFetch.fetch('upstream', url, init)));
    expect(requests[0]!.headers).toMatchObject({ 'x-own': '1' });
    for (const name of ['traceparent', 'x-correlation-id', 'x-mesh-timeout-ms'])
      expect(requests[0]!.headers).not.toHaveProperty(name);
  });
});

describe('mesh fetch that reads inside the policy', () => {
  const read = (response: Response): Promise<string> => response.text();

  it('gives back what was read', async () => {
    expect(await over(meshFetch.fetch('upstream', url, { read }))).toBe('ok');
  });

  it('holds its time limit over the body', async () => {
    handle = (_request, response) => void response.write('part');
    const call = over(meshFetch.fetch('upstream', url, { method: 'POST', read }));
    await expect(call).rejects.toMatchObject({ code: 'MESH_ATTEMPT_TIMEOUT' });
  });

  it('rejects with a status that says the upstream is unwell, and with its Retry-After', async () => {
    handle = (_request, response) => void response.writeHead(429, { 'Retry-After': '60' }).end();
    const call = over(meshFetch.fetch('upstream', url, { read }));
    await expect(call).rejects.toMatchObject({
      code: 'MESH_UPSTREAM_STATUS',
      status: 503,
      retryAfterMs: 60_000,
      details: { policy: 'upstream', status: 429 },
    });
  });
});
