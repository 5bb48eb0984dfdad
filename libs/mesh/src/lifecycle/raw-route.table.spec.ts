import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { MeshEvents } from '../core/mesh.events.js';
import type { RawRoute, RawSink } from '../core/raw-route.js';
import { RawRouteTable } from './raw-route.table.js';

let server: Server | undefined;

async function serving(...routes: RawRoute[]): Promise<{ url: string; table: RawRouteTable; failures: unknown[] }> {
  const events = new MeshEvents();
  const failures: unknown[] = [];
  events.on('http.raw-route-failed', ({ error }) => failures.push(error));
  const table = new RawRouteTable(events);
  for (const route of routes) table.add(route);
  server = createServer((request, response) => void table.serve(request, response));
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, table, failures };
}

const echo = (path: string, method: RawRoute['method'] = 'ANY'): RawRoute => ({
  method,
  path,
  handle: async (request) => ({
    status: 200,
    body: JSON.stringify({
      route: path,
      path: request.path,
      method: request.method,
      body: await request.readBody?.(10),
    }),
  }),
});

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

describe('RawRouteTable', () => {
  it.each(['/mesh', '/mesh/', '/mesh/breakers/a', '/mesh?x=1'])(
    'gives %s to the route that covers the subtree',
    (url) => {
      const table = new RawRouteTable(new MeshEvents());
      table.add(echo('/mesh/*'));
      expect(table.find('DELETE', url)?.path).toBe('/mesh/*');
    },
  );

  it('leaves what merely begins with the same letters to the host', () => {
    const table = new RawRouteTable(new MeshEvents());
    table.add(echo('/mesh/*'));
    expect(table.find('GET', '/meshed')).toBeUndefined();
  });

  it('prefers an exact path to the subtree that it lies in', () => {
    const table = new RawRouteTable(new MeshEvents());
    table.add(echo('/mesh/*'));
    table.add(echo('/mesh/metrics', 'GET'));
    expect(table.find('GET', '/mesh/metrics')?.path).toBe('/mesh/metrics');
    expect(table.find('POST', '/mesh/metrics')?.path).toBe('/mesh/*');
  });

  it('refuses two routes for one subtree', () => {
    const table = new RawRouteTable(new MeshEvents());
    table.add(echo('/mesh/*'));
    expect(() => table.add(echo('/mesh/*'))).toThrow('Two parts of the mesh answer /mesh/*');
  });

  it('hands the body over, but not to GET', async () => {
    const { url } = await serving(echo('/echo'));
    const post = await fetch(`${url}/echo`, { method: 'POST', body: 'hello' });
    expect(await post.json()).toMatchObject({ method: 'POST', body: 'hello' });
    expect(await (await fetch(`${url}/echo`)).json()).not.toHaveProperty('body');
  });

  it('answers before a body that is too long has come, and then closes', async () => {
    const { url, failures } = await serving(echo('/echo'));
    const request = httpRequest(`${url}/echo`, { method: 'POST' });
    request.write('x'.repeat(11));
    const response = await new Promise<IncomingMessage>((resolve) => request.once('response', resolve));
    expect(response.headers.connection).toBe('close');
    expect(JSON.parse((await response.setEncoding('utf8').toArray()).join(''))).not.toHaveProperty('body');
    expect(failures).toEqual([]);
  });

  it('lets an answer go on until it is ended', async () => {
    let sink!: RawSink;
    const stream = (open: RawSink) => void (sink = open);
    const { url } = await serving({ method: 'GET', path: '/s', handle: () => ({ status: 200, body: 'a', stream }) });
    const response = await fetch(`${url}/s`);
    const closed = new Promise<void>((resolve) => sink.onClose(resolve));
    sink.write('b');
    sink.end();
    expect(await response.text()).toBe('ab');
    await closed;
    sink.write('after the end');
  });

  it('tells the stream when the client leaves', async () => {
    let sink!: RawSink;
    const stream = (open: RawSink) => void (sink = open);
    const { url } = await serving({ method: 'GET', path: '/s', handle: () => ({ status: 200, body: 'a', stream }) });
    const leave = new AbortController();
    await fetch(`${url}/s`, { signal: leave.signal });
    const closed = new Promise<void>((resolve) => sink.onClose(resolve));
    leave.abort();
    await closed;
    sink.write('to nobody');
  });

  it('answers 404 on a listener of its own', async () => {
    const { url } = await serving(echo('/echo'));
    expect((await fetch(`${url}/other`)).status).toBe(404);
  });
});
