import { beforeEach, describe, expect, it } from 'vitest';
import { fixedOptions } from '../core/live-options.js';
import { MeshEvents } from '../core/mesh.events.js';
import type { RawRequest, RawRoute } from '../core/raw-route.js';
import { VirtualClock } from '../testing/virtual-clock.js';
import { OpsAccess } from './ops.access.js';
import type { OpsEndpoint } from './ops.endpoints.js';
import { opsSchema } from './ops.options.js';
import { opsRoute } from './ops.route.js';

const endpoints: OpsEndpoint[] = [
  { method: 'GET', path: 'things/:name', read: ({ name }) => ({ data: { name } }) },
  {
    method: 'POST',
    path: 'things/:name',
    plan: async ({ name }) => ({
      what: `break ${name}`,
      apply: () => {
        throw new Error('planted');
      },
    }),
  },
];

describe('opsRoute', () => {
  let events: MeshEvents;
  let route: RawRoute;

  beforeEach(() => {
    events = new MeshEvents();
    const access = new OpsAccess(fixedOptions(opsSchema.parse({})), {
      clock: new VirtualClock(),
      events,
      guard: () => true,
    });
    route = opsRoute('/mesh', { endpoints, access, events });
  });

  const ask = (path: string, method = 'GET') => {
    const request: RawRequest = {
      method,
      path,
      query: new URLSearchParams(),
      headers: { 'x-mesh-ops': 'alice' },
      remoteAddress: '127.0.0.1',
    };
    return route.handle(request);
  };

  it.each([
    ['/mesh/things/a.b', 'a.b'],
    ['/mesh/things/http%3AGET%20%2Fa%2Fb', 'http:GET /a/b'],
    ['/mesh/things/100%25/', '100%'],
  ])('finds the name in %s', async (path, name) => {
    expect(JSON.parse((await ask(path)).body)).toEqual({ name });
  });

  it('answers 400 to a name that is not UTF-8', async () => {
    expect(await ask('/mesh/things/%E0%A4%A')).toMatchObject({ status: 400, body: expect.stringContaining('UTF-8') });
  });

  it('answers HEAD as GET', async () => {
    expect((await ask('/mesh/things/a', 'HEAD')).status).toBe(200);
  });

  it('tells of a change that failed for a reason of its own, and leaves the error to the table of routes', async () => {
    const writes: unknown[] = [];
    events.on('ops.write', (write) => writes.push(write));
    await expect(ask('/mesh/things/a', 'POST')).rejects.toThrow('planted');
    expect(writes).toEqual([{ who: 'guard (alice)', what: 'break a', path: '/mesh/things/a', status: 500 }]);
  });
});
